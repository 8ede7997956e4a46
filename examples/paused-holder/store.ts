import { createRequire } from 'node:module'
import type { Store } from 'holdfast'
import { type SqliteDatabaseLike, sqlite } from 'holdfast/sqlite'

/** The SQLite that comes with Node where there is one, else `libsql`. */
export function openStore(path: string): Store {
  process.emitWarning = () => {} // node:sqlite announces that it is experimental
  const builtin = process.getBuiltinModule?.('node:sqlite' as never) as
    | { DatabaseSync: new (path: string) => SqliteDatabaseLike }
    | undefined
  const Database: new (path: string) => SqliteDatabaseLike =
    builtin?.DatabaseSync ?? createRequire(import.meta.url)('libsql')
  return sqlite({ open: () => new Database(path) })
}
