import type { Statement, StatementResult } from '../engine.ts'
import type { SqlValue } from '../sql.ts'
import type { Row } from '../transaction.ts'
import type { SqliteDatabaseLike, SqliteStatementLike } from './sqlite-client.ts'
import { translateSqliteError } from './sqlite-errors.ts'

/** The statements that one connection keeps prepared; the one used longest ago goes first. */
const STATEMENTS_MAX = 200

/** Runs statements on one handle of any of the drivers, evening out what they do differently. */
export class SqliteConnection {
  readonly db: SqliteDatabaseLike
  readonly #prefix: string
  readonly #prepared = new Map<string, Prepared>()

  constructor(db: SqliteDatabaseLike, prefix: string) {
    this.db = db
    this.#prefix = prefix
  }

  run({ text, values }: Statement): StatementResult {
    try {
      const { statement, reads } = this.#prepare(text)
      const bound = values.map(toSqlite)
      if (!reads) return { rows: [], changes: Number(statement.run(...bound).changes) }
      const rows = statement.all(...bound).map(fromSqlite)
      return { rows, changes: rows.length }
    } catch (error) {
      throw translateSqliteError(error, this.#prefix)
    }
  }

  /** For BEGIN, COMMIT and the like; throws the driver's own error. */
  exec(text: string): void {
    this.db.exec(text)
  }

  #prepare(text: string): Prepared {
    let prepared = this.#prepared.get(text)
    if (prepared === undefined) {
      const statement = this.db.prepare(text)
      const reads = givesRows(statement, text)
      // Per statement, since some drivers otherwise read 2^53 + 1 as 2^53.
      if (reads) {
        statement.safeIntegers?.(true)
        statement.setReadBigInts?.(true)
      }
      prepared = { statement, reads }
      if (this.#prepared.size >= STATEMENTS_MAX)
        this.#prepared.delete(this.#prepared.keys().next().value as string)
    } else {
      this.#prepared.delete(text)
    }
    this.#prepared.set(text, prepared)
    return prepared
  }
}

interface Prepared {
  readonly statement: SqliteStatementLike
  readonly reads: boolean
}

function givesRows(statement: SqliteStatementLike, text: string): boolean {
  if (statement.reader !== undefined) return statement.reader
  if (statement.columns !== undefined) return statement.columns().length > 0
  return /^(?:\s|--.*\n|\/\*[\s\S]*?\*\/)*(?:select|values|with|pragma|explain)\b|\breturning\b/i.test(text)
}

/** The drivers take neither booleans nor dates. */
function toSqlite(value: SqlValue): unknown {
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value instanceof Date) return value.toISOString()
  return value
}

/** Integers come back as `number` where that is exact and as `bigint` beyond; driver extras beside the columns go. */
function fromSqlite(row: unknown): Row {
  const plain: Row = {}
  for (const [column, value] of Object.entries(row as Row)) {
    plain[column] = typeof value === 'bigint' && isSafe(value) ? Number(value) : value
  }
  return plain
}

function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
}
