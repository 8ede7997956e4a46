import type { Store } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import pg from 'pg'
import { openSqlite } from './sqlite.ts'

export interface StoreAt extends AsyncDisposable {
  readonly store: Store
  /** Names the database to another process: a PostgreSQL URL, or the path of an SQLite file. */
  readonly at: string
}

/**
 * Opens a store in any process of the tests, through a pool or a handle of its own.
 * What its files hold survives a kill, and with `full` a power cut, as the log of two-phase commit has to.
 */
export function openStoreAt(
  at: string,
  poolOptions: pg.PoolConfig = {},
  synchronous: 'normal' | 'full' = 'normal',
): StoreAt {
  if (!at.startsWith('postgres')) {
    const store = sqlite({ open: () => openSqlite(at), synchronous })
    return { store, at, [Symbol.asyncDispose]: () => store.close() }
  }
  const pool = new pg.Pool({ ...poolOptions, connectionString: at })
  // A connection that a test cut; the test asserts what matters.
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  const store = postgres(pool)
  return {
    store,
    at,
    async [Symbol.asyncDispose]() {
      await store.close()
      await pool.end()
    },
  }
}
