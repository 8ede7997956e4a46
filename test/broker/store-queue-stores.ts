/** Opens the store that a process of the tests uses as the queue, named by its URL. */
import pg from 'pg'
import { queueTables } from '../../src/broker/store-queue/index.ts'
import { migrate } from '../../src/store/migrations.ts'
import { postgres } from '../../src/store/postgres/index.ts'
import { sqlite } from '../../src/store/sqlite/index.ts'
import type { Store } from '../../src/store/store.ts'
import { openSqlite } from '../support/sqlite.ts'

export interface OpenStore {
  readonly store: Store
  close(): Promise<void>
}

export function openStore(url: string): OpenStore {
  if (url.startsWith('sqlite:')) {
    const store = sqlite({ open: () => openSqlite(url.slice('sqlite:'.length)) as never })
    return { store, close: () => store.close() }
  }
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  pool.on('error', () => {})
  return { store: postgres(pool), close: () => pool.end() }
}

export async function migrateQueue(url: string): Promise<void> {
  const { store, close } = openStore(url)
  await migrate(store, [queueTables])
  await close()
}
