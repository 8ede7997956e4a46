import BetterSqlite3 from 'better-sqlite3'
import LibSql from 'libsql'

/** What the drivers have in common, as far as tests call it directly. */
export interface SqliteHandle {
  exec(sql: string): unknown
  prepare(sql: string): {
    run(...values: unknown[]): unknown
    get(...values: unknown[]): unknown
    all(...values: unknown[]): unknown[]
  }
  close(): void
}

export type SqliteDriver = 'libsql' | 'better-sqlite3' | 'node:sqlite'

// A static import would not load on Node 20, which has no such module.
const builtin = process.getBuiltinModule?.('node:sqlite') as
  | { DatabaseSync: new (path: string) => SqliteHandle }
  | undefined

const openers = new Map<SqliteDriver, (path: string) => SqliteHandle>([
  ['libsql', (path) => new LibSql(path) as SqliteHandle],
  ['better-sqlite3', (path) => new BetterSqlite3(path) as SqliteHandle],
])
if (builtin !== undefined) openers.set('node:sqlite', (path) => new builtin.DatabaseSync(path))

/** The drivers that this Node can load: `describe.each(sqliteDrivers)('%s', (driver) => …)`. */
export const sqliteDrivers: readonly SqliteDriver[] = [...openers.keys()]

/** Opens (and creates) a database file. The caller closes the handle. */
export function openSqlite(path: string, driver: SqliteDriver = 'libsql'): SqliteHandle {
  const open = openers.get(driver)
  if (open === undefined) throw new Error(`${driver} is not available in Node ${process.versions.node}`)
  return open(path)
}
