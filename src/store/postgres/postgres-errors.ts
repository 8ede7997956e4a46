import { isHoldfastError } from '../../core/errors.ts'
import {
  ConstraintError,
  DeadlockError,
  LockTimeoutError,
  SchemaRevisionError,
  SerializationError,
  StatementError,
  StoreClosedError,
  StoreUnavailableError,
  TransactionAbortedError,
  TransactionTimeoutError,
} from '../errors.ts'

interface PgErrorLike extends Error {
  readonly code?: string
  readonly severity?: string
  readonly constraint?: string
  readonly routine?: string
}

/** What was under way: an answer missing to COMMIT leaves the outcome unknown. */
export type Phase = 'connect' | 'statement' | 'commit'

type Make = (error: PgErrorLike, phase: Phase) => Error

const unavailable =
  (what: string): Make =>
  (cause, phase) =>
    new StoreUnavailableError(`PostgreSQL ${what}`, phase === 'commit' ? 'unknown' : 'not-applied', { cause })

const constraint =
  (kind: ConstraintError['kind']): Make =>
  (cause) =>
    new ConstraintError(kind, cause.constraint, { cause })

const unprepared: Make = (cause) =>
  new StatementError(
    cause.code,
    'a proxy does not keep prepared statements; use postgres(pool, { prepare: false })',
    { cause },
  )

/**
 * SQLSTATE, or its class of two characters, to our errors. Messages never repeat the server's text, since that can
 * hold values of rows; the driver's error is the `cause`.
 * @see PostgreSQL manual, Appendix A, Error Codes
 */
const TABLE: Readonly<Record<string, Make>> = {
  '40001': (cause) => new SerializationError({ cause }),
  '40P01': (cause) => new DeadlockError({ cause }),
  '40003': unavailable('does not know whether the statement was completed'),
  '55P03': (cause) => new LockTimeoutError('a lock', undefined, { cause }),
  '57014': (cause) => new TransactionTimeoutError(undefined, { cause }),
  '25P02': (cause) => new TransactionAbortedError({ cause }),
  '25P03': unavailable('ended the connection: idle in a transaction for too long'),
  '25P04': unavailable('ended the connection: the transaction took too long'),
  '57P01': unavailable('is shutting down, or an administrator ended the connection'),
  '57P02': unavailable('crashed and is restarting'),
  '57P03': unavailable('is starting up and takes no connections yet'),
  '57P05': unavailable('ended the connection: idle for too long'),
  '53300': unavailable('has no connection left; lower the size of the pools, or raise max_connections'),
  '53': unavailable('ran out of disk, memory or another resource'),
  '58': unavailable('met an error of its operating system'),
  '08': unavailable('lost the connection'),
  '28': unavailable('refused the login; check user, password and pg_hba.conf'),
  '3D000': unavailable('has no database of that name'),
  '23505': constraint('unique'),
  '23503': constraint('foreign-key'),
  '23514': constraint('check'),
  '23502': constraint('not-null'),
  '23P01': constraint('exclusion'),
  '26000': unprepared,
  '42P05': unprepared,
  // A prepared statement whose table changed under it. A new connection prepares it anew, hence worth another run.
  '0A000': (cause) =>
    /cached plan/.test(cause.message)
      ? new SerializationError({ cause })
      : new StatementError('0A000', 'PostgreSQL does not support it', { cause }),
  '25006': (cause) => new StatementError('25006', 'the transaction is read-only', { cause }),
  '42501': (cause) =>
    new StatementError(
      '42501',
      'the role lacks a right; docs/reference/rights.md lists what Holdfast needs',
      { cause },
    ),
}

/** Errors of the socket and of the driver itself, which carry no SQLSTATE. */
const LOST = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
])
const LOST_TEXT =
  /terminated|connection error|Query read timeout|timeout exceeded when trying to connect|Client was closed|Connection ended|socket/i

/** What a pool answers after its `end`. */
const ENDED_TEXT = /after calling end on the pool/i

/** Translates what `pg` throws; errors of ours pass unchanged. `prefix` tells our missing tables from the user's. */
export function translatePostgresError(error: unknown, phase: Phase, prefix: string): unknown {
  if (!(error instanceof Error) || isHoldfastError(error)) return error
  const pgError = error as PgErrorLike
  const { code } = pgError
  if (pgError.severity === undefined) {
    if (ENDED_TEXT.test(error.message)) return new StoreClosedError({ cause: error })
    // Whatever keeps the driver from connecting (TLS, a password that is no text) leaves no connection.
    if (phase === 'connect' || (code !== undefined && LOST.has(code)) || LOST_TEXT.test(error.message)) {
      return unavailable(phase === 'connect' ? 'could not be reached' : 'lost the connection')(pgError, phase)
    }
    return error
  }
  if (code === '42P01' || code === '3F000') {
    // Quotes differ with the language of the server's messages.
    const missing = new RegExp(`[^\\w$]${escapeRegExp(prefix)}(\\w+)[^\\w\\s.]`).exec(error.message)?.[1]
    if (missing !== undefined)
      return new SchemaRevisionError(missing, { found: 0, needed: 1 }, { cause: error })
  }
  const make = code === undefined ? undefined : (TABLE[code] ?? TABLE[code.slice(0, 2)])
  return make?.(pgError, phase) ?? new StatementError(code, undefined, { cause: error })
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
