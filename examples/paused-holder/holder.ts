/** One process: takes the lock, and writes when it is told to. `argv`: database, name, guarded or not. */
import { createInterface } from 'node:readline'
import { sql } from 'holdfast'
import { fence } from 'holdfast/fence'
import { createLocks } from 'holdfast/lock'
import { openStore } from './store.ts'

const [, , path = '', name = '', guarded = ''] = process.argv
const store = openStore(path)
const locks = createLocks(store)
const say = (line: object): void => void process.stdout.write(`${JSON.stringify({ name, ...line })}\n`)

const lock = await locks.acquire('report', { ttlMs: 1_000 })
say({ did: 'acquired', token: `${lock.token}` })

for await (const _told of createInterface({ input: process.stdin })) {
  // A program that looked at lock.isHeld() a moment ago, and was paused right after, is where this one is now.
  try {
    await store.transaction(async (tx) => {
      if (guarded === 'guarded') await fence(tx, lock)
      await tx.execute(sql`update report set written_by = ${name}`)
    })
    say({ did: 'wrote' })
  } catch (error) {
    say({ did: 'was refused', code: (error as { code?: string }).code, message: (error as Error).message })
  }
}
