/** The part of a synchronous SQLite driver that the explorer calls: better-sqlite3, libsql and node:sqlite have it. */
export interface SqliteDriver {
  prepare(text: string): SqliteDriverStatement
  exec(text: string): unknown
  close(): unknown
  /** better-sqlite3 and libsql. */
  readonly inTransaction?: boolean
  /** node:sqlite, since Node 22.16. */
  readonly isTransaction?: boolean
}

export interface SqliteDriverStatement {
  // biome-ignore lint/suspicious/noExplicitAny: the drivers' parameter types differ
  all(...values: any[]): unknown[]
  // biome-ignore lint/suspicious/noExplicitAny: see above
  run(...values: any[]): { changes: number | bigint }
  /** better-sqlite3 and libsql. */
  safeIntegers?(on: boolean): unknown
  /** node:sqlite. */
  setReadBigInts?(on: boolean): unknown
}

/** Where the driver does not tell (node:sqlite before Node 22.16), a BEGIN, which locks nothing, is refused in a transaction. */
export function transactionIsOpen(db: SqliteDriver): boolean {
  const told = db.inTransaction ?? db.isTransaction
  if (told !== undefined) return told
  try {
    db.exec('begin')
    db.exec('rollback')
    return false
  } catch {
    return true
  }
}
