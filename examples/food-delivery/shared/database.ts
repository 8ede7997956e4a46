import type { PgPoolLike } from 'holdfast/postgres'
import type { SqliteDatabaseLike } from 'holdfast/sqlite'

/** Where one service keeps its rows. */
export type DatabaseAddress =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string }

/**
 * Opens SQLite files with the library that comes with Node (22.13 and later), else with `libsql`. All of one process
 * use the same one: two SQLite libraries in one process undo each other's file locks.
 */
export async function loadSqlite(): Promise<(path: string) => SqliteDatabaseLike> {
  const { emitWarning } = process
  process.emitWarning = () => {} // node:sqlite announces that it is experimental
  const builtin = process.getBuiltinModule?.('node:sqlite' as never) as
    | { readonly DatabaseSync: new (path: string) => SqliteDatabaseLike }
    | undefined
  process.emitWarning = emitWarning
  if (builtin !== undefined) return (path) => new builtin.DatabaseSync(path)
  const name = 'libsql'
  try {
    const { default: Database } = (await import(name)) as {
      default: new (path: string) => SqliteDatabaseLike
    }
    return (path) => new Database(path)
  } catch (cause) {
    throw new Error(
      'no SQLite driver can be loaded: run "npm install libsql", or use Node 22.13 or later, which has its own',
      { cause },
    )
  }
}

export interface PgPool extends PgPoolLike {
  query(text: string, values?: readonly unknown[]): Promise<{ rows: unknown[]; rowCount: number | null }>
  on(event: 'error', listener: (error: Error) => void): unknown
  end(): Promise<void>
}

export async function openPgPool(url: string, max: number): Promise<PgPool> {
  const name = 'pg'
  let pg: { default: { Pool: new (options: object) => PgPool } }
  try {
    pg = (await import(name)) as typeof pg
  } catch (cause) {
    throw new Error('the driver for PostgreSQL is not installed: run "npm install pg"', { cause })
  }
  const pool = new pg.default.Pool({ connectionString: url, max })
  pool.on('error', () => {}) // an idle connection was cut, which is one of the faults
  return pool
}
