/**
 * The part of a synchronous SQLite driver that this adapter calls: `node:sqlite`, `libsql` and `better-sqlite3` all
 * have it. The application brings the driver.
 */
export interface SqliteDatabaseLike {
  prepare(text: string): SqliteStatementLike
  exec(text: string): unknown
  close(): unknown
  /** better-sqlite3 and libsql. */
  readonly inTransaction?: boolean
  /** node:sqlite. */
  readonly isTransaction?: boolean
}

export interface SqliteStatementLike {
  // biome-ignore lint/suspicious/noExplicitAny: the drivers' parameter types differ
  all(...values: any[]): unknown[]
  // biome-ignore lint/suspicious/noExplicitAny: see above
  run(...values: any[]): { changes: number | bigint }
  /** better-sqlite3 and libsql: true when the statement gives rows. */
  readonly reader?: boolean
  columns?(): unknown[]
  /** better-sqlite3 and libsql. */
  safeIntegers?(on: boolean): unknown
  /** node:sqlite. */
  setReadBigInts?(on: boolean): unknown
}

export function inTransaction(db: SqliteDatabaseLike): boolean {
  return db.inTransaction ?? db.isTransaction ?? false
}
