import type { Store } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { type DatabaseAddress, loadSqlite, openPgPool } from './database.ts'

/** Opens a Holdfast store on one of the databases. `close` ends the connections too. */
export async function openStore(address: DatabaseAddress): Promise<{ store: Store; close(): Promise<void> }> {
  if (address.kind === 'postgres') {
    const pool = await openPgPool(address.url, 12)
    const store = postgres(pool)
    return {
      store,
      async close() {
        await store.close()
        await pool.end()
      },
    }
  }
  const open = await loadSqlite()
  // A killed process loses nothing with `normal`; only a power failure could, and the demo makes none.
  const store = sqlite({ open: () => open(address.path), synchronous: 'normal' })
  return { store, close: () => store.close() }
}
