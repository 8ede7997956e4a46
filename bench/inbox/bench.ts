import { migrate, sql } from 'holdfast'
import type { Message } from 'holdfast/broker'
import { effectTables } from 'holdfast/effects'
import { createInbox, inboxTables } from 'holdfast/inbox'
import { leaseTables } from 'holdfast/lease'
import { postgres } from 'holdfast/postgres'
import { sampleOneAndMany } from '../lib/clients.ts'
import { atLeast, pairedRatio, type Sample, toRows } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { Bench } from '../main.ts'
import { byHand } from './by-hand.ts'

/** What the effect row costs a handler that writes one business row, on PostgreSQL. */
export const bench: Bench = {
  async run({ serverUrl, rounds, scale, progress }) {
    const samples: Sample[] = []
    for (let round = 1; round <= rounds; round++) {
      await withDatabase(serverUrl, async (url) => {
        const pool = openPool(url, 16)
        const store = postgres(pool)
        await migrate(store, [leaseTables, effectTables, inboxTables])
        await pool.query('create table business (id text primary key, v text)')
        const inbox = createInbox(store)
        let n = 0
        const hand = byHand(url, () => `${round}-${n++}`)
        const write = (id: string) => sql`insert into business (id, v) values (${id}, ${'x'})`
        const ways: Record<string, () => Promise<unknown>> = {
          'without effect row': () => store.transaction((tx) => tx.execute(write(`${round}-${n++}`))),
          'inbox.handle': () => {
            const message = toMessage(`${round}-${n++}`)
            return store.transaction((tx) =>
              inbox.handle(tx, message, () => tx.execute(write(message.id)), { group: 'bench' }),
            )
          },
          ...hand.ways,
        }
        const tell = (text: string) => progress(`round ${round}: ${text}`)
        const plan = { turns: 10, durationMs: 4000 * scale }
        samples.push(...(await sampleOneAndMany(ways, { name: 'handled', unit: 'messages/s' }, plan, tell)))
        await pool.end()
        await hand.end()
      })
    }
    const ratio = (clients: number): number =>
      pairedRatio(samples, `handled, ${clients} at a time`, 'inbox.handle', 'without effect row')
    return {
      bench: 'inbox',
      rows: toRows(samples),
      targets: [atLeast('inbox.vsPlain', ratio(16), 0.7), atLeast('inbox.vsPlain1', ratio(1), 0.7)],
    }
  },
}

function toMessage(id: string): Message {
  return { id, topic: 'bench', key: id, payload: '{}', headers: {}, publishedAtMs: 0 }
}
