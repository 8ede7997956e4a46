import { isHoldfastError } from '../../core/errors.ts'
import {
  ConstraintError,
  SchemaRevisionError,
  SerializationError,
  StatementError,
  StoreBusyError,
  StoreUnavailableError,
} from '../errors.ts'

/** better-sqlite3 and libsql give `code` (and `rawCode`); node:sqlite gives `errcode`. */
interface SqliteErrorLike extends Error {
  readonly code?: string
  readonly rawCode?: number
  readonly errcode?: number
}

type Make = (error: SqliteErrorLike) => Error

const constraint =
  (kind: ConstraintError['kind']): Make =>
  (cause) =>
    new ConstraintError(kind, /constraint failed: (.+)$/.exec(cause.message)?.[1], { cause })

const BUSY: Make = (cause) => new StoreBusyError('another process holds the SQLite file', { cause })

const unavailable =
  (what: string): Make =>
  (cause) =>
    new StoreUnavailableError(`SQLite ${what}`, 'not-applied', { cause })

/**
 * Extended result codes to our errors, with the primary code (the low byte) as the fallback.
 * @see https://www.sqlite.org/rescode.html
 */
const TABLE: Readonly<Record<number, Make>> = {
  5: BUSY, // SQLITE_BUSY
  6: BUSY, // SQLITE_LOCKED
  517: (cause) => new SerializationError({ cause }), // SQLITE_BUSY_SNAPSHOT
  8: (cause) => new StatementError('SQLITE_READONLY', 'the transaction or the file is read-only', { cause }),
  10: unavailable('met an I/O error'),
  11: unavailable('found the file damaged'),
  13: unavailable('found the disk full'),
  14: unavailable('could not open the file'),
  26: unavailable('found that the file is no database'),
  275: constraint('check'), // SQLITE_CONSTRAINT_CHECK
  787: constraint('foreign-key'), // SQLITE_CONSTRAINT_FOREIGNKEY
  1299: constraint('not-null'), // SQLITE_CONSTRAINT_NOTNULL
  1555: constraint('unique'), // SQLITE_CONSTRAINT_PRIMARYKEY
  2067: constraint('unique'), // SQLITE_CONSTRAINT_UNIQUE
  2579: constraint('unique'), // SQLITE_CONSTRAINT_ROWID
}

/** The extended result code, or undefined when `error` did not come from SQLite. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  const { rawCode, errcode, code, message } = error as SqliteErrorLike
  return rawCode ?? errcode ?? codeOfName(code ?? '') ?? codeOfOpening(message)
}

/** libsql gives a text and an empty `code` where it cannot open the file. */
function codeOfOpening(message: string): number | undefined {
  const code = /^ConnectionFailed\(.*: (\d+)"\)$/s.exec(message)?.[1]
  return code === undefined ? undefined : Number(code)
}

/** better-sqlite3 gives the name alone. One that is not in the table (SQLITE_IOERR_READ) counts as its primary code. */
function codeOfName(name: string): number | undefined {
  if (!name.startsWith('SQLITE_')) return undefined
  return CODE_NAMES[name] ?? CODE_NAMES[name.split('_', 2).join('_')] ?? 1
}

const CODE_NAMES: Readonly<Record<string, number>> = {
  SQLITE_ERROR: 1,
  SQLITE_BUSY: 5,
  SQLITE_BUSY_RECOVERY: 261,
  SQLITE_BUSY_SNAPSHOT: 517,
  SQLITE_LOCKED: 6,
  SQLITE_READONLY: 8,
  SQLITE_IOERR: 10,
  SQLITE_CORRUPT: 11,
  SQLITE_FULL: 13,
  SQLITE_CANTOPEN: 14,
  SQLITE_NOTADB: 26,
  SQLITE_CONSTRAINT_CHECK: 275,
  SQLITE_CONSTRAINT_FOREIGNKEY: 787,
  SQLITE_CONSTRAINT_NOTNULL: 1299,
  SQLITE_CONSTRAINT_PRIMARYKEY: 1555,
  SQLITE_CONSTRAINT_UNIQUE: 2067,
  SQLITE_CONSTRAINT_ROWID: 2579,
}

export function isBusy(error: unknown): boolean {
  const code = resultCode(error)
  return code !== undefined && (code & 0xff) === 5
}

/** The disk is full: what was being written did not get there. */
export function isFull(error: unknown): boolean {
  return resultCode(error) === 13
}

export function translateSqliteError(error: unknown, prefix: string): unknown {
  if (isHoldfastError(error)) return error
  const code = resultCode(error)
  if (code === undefined) return error
  const cause = error as SqliteErrorLike
  const missing = /no such table: (?:main\.)?(.+)$/.exec(cause.message)?.[1]
  if (missing?.startsWith(prefix)) {
    return new SchemaRevisionError(missing.slice(prefix.length), { found: 0, needed: 1 }, { cause })
  }
  const make = TABLE[code] ?? TABLE[code & 0xff]
  return make?.(cause) ?? new StatementError(cause.code ?? `SQLITE_${code}`, undefined, { cause })
}
