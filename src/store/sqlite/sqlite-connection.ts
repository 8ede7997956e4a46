import { isHoldfastError, PayloadError } from '../../core/errors.ts'
import type { Statement, StatementResult } from '../engine.ts'
import { StatementError } from '../errors.ts'
import { ownWords } from '../own-words.ts'
import type { SqlValue } from '../sql.ts'
import type { Row } from '../transaction.ts'
import type { SqliteDatabaseLike, SqliteStatementLike } from './sqlite-client.ts'
import { translateSqliteError } from './sqlite-errors.ts'

/** The statements that one connection keeps prepared; the one prepared longest ago goes first. */
const STATEMENTS_MAX = 200

/** Runs statements on one handle of any of the drivers, evening out what they do differently. */
export class SqliteConnection {
  readonly db: SqliteDatabaseLike
  readonly #prefix: string
  readonly #prepared = new Map<string, Prepared>()
  readonly #controls = new Map<string, SqliteStatementLike>()

  constructor(db: SqliteDatabaseLike, prefix: string) {
    this.db = db
    this.#prefix = prefix
  }

  run({ text, values }: Statement): StatementResult {
    try {
      const { statement, reads } = this.#prepare(text)
      const bound = toArguments(statement, values.map(toSqlite))
      if (!reads) return { rows: [], changes: Number(statement.run(...bound).changes) }
      const rows = statement.all(...bound).map(fromSqlite)
      return { rows, changes: rows.length }
    } catch (error) {
      const known = translateSqliteError(error, this.#prefix)
      // Drivers refuse values and texts that they cannot take before SQLite sees them.
      if (known !== error || isHoldfastError(error)) throw known
      throw new StatementError(
        'SQLITE_MISUSE',
        'the driver refuses its text or one of its values; see the cause',
        { cause: error },
      )
    }
  }

  /** For pragmas and the like; throws the driver's own error. */
  exec(text: string): void {
    this.db.exec(text)
  }

  /** The same for what each transaction needs, without parsing it each time. */
  control(text: 'begin immediate' | 'commit'): void {
    let statement = this.#controls.get(text)
    if (statement === undefined) {
      statement = this.db.prepare(text)
      this.#controls.set(text, statement)
    }
    statement.run()
  }

  #prepare(text: string): Prepared {
    const known = this.#prepared.get(text)
    if (known !== undefined) return known
    const statement = this.db.prepare(text)
    const reads = givesRows(statement, text)
    // Per statement, since some drivers otherwise read 2^53 + 1 as 2^53.
    if (reads) {
      statement.safeIntegers?.(true)
      statement.setReadBigInts?.(true)
    }
    const prepared = { statement, reads }
    if (this.#prepared.size >= STATEMENTS_MAX)
      this.#prepared.delete(this.#prepared.keys().next().value as string)
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
  // node:sqlite before Node 22.16 does not tell.
  const bare = ownWords(text, 'sqlite').trimStart()
  if (/\breturning\b/i.test(bare)) return true
  if (/^with\b/i.test(bare))
    return !/\b(?:insert\s+(?:or|into)|replace\s+into|update|delete\s+from)\b/i.test(bare)
  return /^(?:select|values|pragma|explain)\b/i.test(bare)
}

/** libsql takes a lone object, also null and a blob (which ends the process), for named parameters: hence a list. */
function toArguments(statement: SqliteStatementLike, values: readonly unknown[]): readonly unknown[] {
  return statement.safeIntegers === undefined ? values : [values]
}

/**
 * The drivers take neither booleans nor dates.
 * @throws PayloadError for what a driver would change silently: NaN to null, a text to what stands before its NUL, an
 * array to its first member
 */
export function toSqlite(value: SqlValue, position: number): unknown {
  switch (typeof value) {
    case 'boolean':
      return value ? 1 : 0
    case 'number':
      return Number.isNaN(value) ? refuse(position, 'NaN would be stored as null') : value
    case 'string':
      return value.includes('\0') ? refuse(position, 'text contains a NUL character') : value
    case 'object':
      if (value instanceof Date) return value.toISOString()
      return Array.isArray(value) ? refuse(position, 'SQLite has no arrays') : value
    default:
      return value
  }
}

function refuse(position: number, message: string): never {
  throw new PayloadError('parameters of a statement', [{ path: `$[${position}]`, message }])
}

/** Integers come back as `number` where that is exact and as `bigint` beyond; driver extras beside the columns go. */
function fromSqlite(row: unknown): Row {
  const plain: Row = {}
  for (const [column, value] of Object.entries(row as Row)) {
    if (typeof value === 'bigint' && isSafe(value)) plain[column] = Number(value)
    else plain[column] = value instanceof ArrayBuffer ? new Uint8Array(value) : value // libsql's blobs
  }
  return plain
}

function isSafe(value: bigint): boolean {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
}
