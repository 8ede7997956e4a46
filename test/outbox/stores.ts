import { migrate, type Store, sql } from 'holdfast'
import { leaseTables } from 'holdfast/lease'
import { deadLetterTables, outboxTables } from 'holdfast/outbox'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { storeTables } from 'holdfast/store'
import pg from 'pg'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'

export interface OutboxStore extends AsyncDisposable {
  readonly store: Store
  /** A postgres URL or the path of a file, for another process. */
  readonly url: string
}

export const tableSets = [storeTables, leaseTables, outboxTables, deadLetterTables]

export const stores: Readonly<Record<'postgres' | 'sqlite', () => Promise<OutboxStore>>> = {
  async postgres() {
    const database = await freshPool({ max: 20 })
    const store = postgres(database.pool)
    await migrate(store, tableSets)
    return { store, url: database.url, [Symbol.asyncDispose]: database.drop }
  },
  async sqlite() {
    const folder = tempFolder('outbox')
    const path = folder.file('db.sqlite')
    const store = sqlite({ open: () => openSqlite(path), synchronous: 'normal' })
    await migrate(store, tableSets)
    return {
      store,
      url: path,
      async [Symbol.asyncDispose]() {
        await store.close()
        folder.remove()
      },
    }
  },
}

/** The same database through a store of its own, so that nothing in this process tells it of the other's commits. */
export async function reopen(kind: 'postgres' | 'sqlite', url: string): Promise<OutboxStore> {
  if (kind === 'sqlite') {
    const store = sqlite({ open: () => openSqlite(url), synchronous: 'normal' })
    return { store, url, [Symbol.asyncDispose]: () => store.close() }
  }
  const pool = new pg.Pool({ connectionString: url })
  return { store: postgres(pool), url, [Symbol.asyncDispose]: () => pool.end() }
}

export const storeNames = ['postgres', 'sqlite'] as const

/** The number of rows in one of Holdfast's tables. */
export async function countRows(store: Store, table: string): Promise<number> {
  const [row] = await store.query<{ n: unknown }>(sql`select count(*) as n from ${store.table(table)}`)
  return Number(row?.n)
}
