import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import {
  type CommitUnknownError,
  migrate,
  type Store,
  type StoreOptions,
  sql,
  storeTables,
} from 'holdfast/store'
import { failpoints, type ManualClock, manualClock } from 'holdfast/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'
import { until } from '../support/wait.ts'

const DAY_MS = 86_400_000

interface Opened {
  make(options: StoreOptions): Store
  close(): Promise<void>
}

const stores: Record<string, () => Promise<Opened>> = {
  async sqlite() {
    const folder = tempFolder('witness')
    const made: Store[] = []
    return {
      make(options) {
        const store = sqlite({ open: () => openSqlite(folder.file('w.db'), 'libsql') as never, ...options })
        made.push(store)
        return store
      },
      async close() {
        for (const store of made) await store.close()
        folder.remove()
      },
    }
  },
  async postgres() {
    const database = await freshPool({ max: 4 })
    return { make: (options) => postgres(database.pool, options), close: () => database.drop() }
  },
}

describe.each(Object.entries(stores))('witnesses on %s', (_, open) => {
  let opened: Opened
  let clock: ManualClock
  let store: Store
  beforeEach(async () => {
    opened = await open()
    clock = manualClock()
    store = opened.make({ clock, witnessWindowMs: DAY_MS })
    await migrate(store, [storeTables])
  })
  afterEach(async () => {
    failpoints.reset()
    await opened.close()
  })
  const write = () => store.transaction((tx) => tx.query(sql`select 1 as one`), { witness: true })
  const count = async () =>
    Number((await store.query<{ n: number }>(sql`select count(*) as n from ${store.table('witness')}`))[0]?.n)

  it('older than the window are removed beside a later transaction, and the rest stay', async () => {
    await write()
    await clock.advance(DAY_MS / 2)
    await write()
    expect(await count()).toBe(2)
    await clock.advance(DAY_MS / 2 + 1)
    await write()
    await until(async () => (await count()) === 2, { what: 'the oldest of three to be removed' })
    await clock.advance(DAY_MS / 2)
    await write()
    await until(async () => (await count()) === 2, { what: 'the next one to be removed' })
  })

  it('more than a thousand are removed in several transactions', async () => {
    const rows = Array.from({ length: 2_500 }, (_, i) => [`w${i}`, 'applied', clock.now() - 2 * DAY_MS])
    const columns = [
      { name: 'id', type: 'text' },
      { name: 'decision', type: 'text' },
      { name: 'decided_at_ms', type: 'bigint' },
    ] as const
    for (let i = 0; i < rows.length; i += 500)
      await store.execute(
        store.dialect.insertRows(store.table('witness'), columns, rows.slice(i, i + 500) as never),
      )
    await write()
    await clock.advance(DAY_MS / 20 + 600_000)
    await write()
    await until(async () => (await count()) === 2, { what: '2 500 old ones to be removed' })
  })

  it('a lost COMMIT is resolved within half of the window, and refused later', async () => {
    failpoints.arm('store.commit.after', () => {
      throw new Error('the answer is lost')
    })
    const error = await write().catch((e) => e as CommitUnknownError)
    failpoints.reset()
    expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN', atMs: clock.now() })
    expect(await store.resolve(error as CommitUnknownError)).toBe('applied')
    await clock.advance(DAY_MS / 2 + 1)
    await expect(store.resolve(error as CommitUnknownError)).rejects.toMatchObject({
      code: 'WITNESS_EXPIRED',
      outcome: 'unknown',
    })
  })

  it('a window that is no span of time is refused', () => {
    for (const witnessWindowMs of [0, -1, Number.NaN, '7d' as never])
      expect(() => opened.make({ witnessWindowMs })).toThrow(/witnessWindowMs/)
  })
})
