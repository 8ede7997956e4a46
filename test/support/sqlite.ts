import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import LibSql from 'libsql'
import type { SqliteDatabaseLike } from '../../src/store/sqlite/sqlite-client.ts'

export type SqliteDriver = 'libsql' | 'better-sqlite3' | 'node:sqlite'

// A static import would not load on Node 20, which has no such module.
const builtin = process.getBuiltinModule?.('node:sqlite') as
  | { DatabaseSync: new (path: string) => SqliteDatabaseLike }
  | undefined

const openers = new Map<SqliteDriver, (path: string) => SqliteDatabaseLike>([
  ['libsql', (path) => new LibSql(path) as SqliteDatabaseLike],
])
if (builtin !== undefined) openers.set('node:sqlite', (path) => new builtin.DatabaseSync(path))

// better-sqlite3 needs a compiler where its binaries cannot be fetched, so it is installed apart: `.ci/run` does.
const drivers = process.env.HOLDFAST_TEST_DRIVERS
if (drivers) {
  const Better = createRequire(resolve(drivers, 'package.json'))('better-sqlite3')
  openers.set('better-sqlite3', (path) => new Better(path) as SqliteDatabaseLike)
}

/** The drivers that this Node can load: `describe.each(sqliteDrivers)('%s', (driver) => …)`. */
export const sqliteDrivers: readonly SqliteDriver[] = [...openers.keys()]

/** The one that the command line takes: it runs in the process of a test, where one file must have one library. */
const usual: SqliteDriver = builtin === undefined ? 'libsql' : 'node:sqlite'

/** Opens (and creates) a database file. The caller closes the handle. */
export function openSqlite(path: string, driver = usual): SqliteDatabaseLike {
  const open = openers.get(driver)
  if (open === undefined) throw new Error(`${driver} is not available in Node ${process.versions.node}`)
  return open(path)
}
