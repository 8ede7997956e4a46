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
  /** node:sqlite, since Node 22.16. */
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

/** node:sqlite before Node 22.16 does not tell; there a BEGIN, which locks nothing, is refused inside a transaction. */
export function inTransaction(db: SqliteDatabaseLike): boolean {
  const told = db.inTransaction ?? db.isTransaction
  if (told !== undefined) return told
  try {
    db.exec('begin')
  } catch {
    return true
  }
  db.exec('rollback')
  return false
}
