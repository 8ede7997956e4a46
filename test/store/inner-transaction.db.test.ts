import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import type { Store } from 'holdfast/store'
import { describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'

/** The store called inside its own transaction, where only one connection is to be had. */
describe('a transaction that waits for its own connection', () => {
  it.each([
    ['SQLite', onSqlite],
    ['PostgreSQL with a pool of one', onPostgres],
    ['PostgreSQL with a pool of four, all in use', (test: Test) => onPostgres(test, 4)],
  ])('%s: ends at its deadline, is told why, and leaves nothing behind', (_, on) =>
    on(async (store, connections) => {
      await store.execute('create table item (id integer primary key)')
      const holding: (() => void)[] = []
      const others = Array.from({ length: connections - 1 }, () =>
        store.transaction(async (tx) => {
          await tx.query('select 1 as one')
          await new Promise<void>((resolve) => holding.push(resolve))
        }),
      )
      const failed = store.transaction(
        async (tx) => {
          await tx.execute('insert into item values (1)')
          await store.execute('insert into item values (2)')
        },
        { timeoutMs: 1_000 },
      )
      await expect(failed).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT', outcome: 'not-applied' })
      await expect(failed).rejects.toThrow(/waited for a connection.*inside a transaction use its `tx`/)
      for (const end of holding) end()
      await Promise.all(others)
      // The inner one was on its own, and is applied once the outer one has let go.
      await expect.poll(() => store.query('select id from item')).toEqual([{ id: 2 }])
    }),
  )
})

type Test = (store: Store, connections: number) => Promise<void>

async function onSqlite(test: Test): Promise<void> {
  const folder = tempFolder('inner')
  const store = sqlite({ open: () => openSqlite(folder.file('i.db')) as never })
  await test(store, 1)
  await store.close()
  folder.remove()
}

async function onPostgres(test: Test, max = 1): Promise<void> {
  await using database = await freshPool({ max })
  // Of four, one is kept back for urgent transactions.
  await test(postgres(database.pool), max === 1 ? 1 : max - 1)
}
