import { HoldfastError, isHoldfastError, type Outcome } from '../core/errors.ts'

/** The database found no serial order for this transaction and rolled it back. Retrying may succeed. */
export class SerializationError extends HoldfastError {
  static {
    this.prototype.name = 'SerializationError'
  }
  readonly code = 'SERIALIZATION_FAILURE'
  readonly outcome = 'not-applied'

  constructor(options: ErrorOptions) {
    super('another transaction changed what this one read or wrote; run it again', options)
  }
}

/** The database broke a cycle of waiting transactions by rolling this one back. Retrying may succeed. */
export class DeadlockError extends HoldfastError {
  static {
    this.prototype.name = 'DeadlockError'
  }
  readonly code = 'DEADLOCK'
  readonly outcome = 'not-applied'

  constructor(options: ErrorOptions) {
    super('the transaction waited in a circle with others; lock rows in one order, or run it again', options)
  }
}

/** The SQLite file stayed locked by another process for the whole wait. */
export class StoreBusyError extends HoldfastError {
  static {
    this.prototype.name = 'StoreBusyError'
  }
  readonly code = 'STORE_BUSY'
  readonly outcome = 'not-applied'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
  }
}

/** `nowait` met a row (on SQLite: a store) that another transaction holds. */
export class RowLockedError extends HoldfastError {
  static {
    this.prototype.name = 'RowLockedError'
  }
  readonly code = 'ROW_LOCKED'
  readonly outcome = 'not-applied'

  constructor(what: string, options?: ErrorOptions) {
    super(`${what} is locked by another transaction`, options)
  }
}

/** The lock was not granted within `waitMs`. */
export class LockTimeoutError extends HoldfastError {
  static {
    this.prototype.name = 'LockTimeoutError'
  }
  readonly code = 'LOCK_TIMEOUT'
  readonly outcome = 'not-applied'
  readonly waitMs: number | undefined

  constructor(what: string, waitMs: number | undefined, options?: ErrorOptions) {
    super(
      `${what} was not granted within ${waitMs === undefined ? 'the lock timeout' : `${waitMs} ms`}`,
      options,
    )
    this.waitMs = waitMs
  }
}

/** The transaction ran out of its `timeoutMs` before COMMIT was sent, and was rolled back. */
export class TransactionTimeoutError extends HoldfastError {
  static {
    this.prototype.name = 'TransactionTimeoutError'
  }
  readonly code = 'TRANSACTION_TIMEOUT'
  readonly outcome = 'not-applied'
  readonly timeoutMs: number | undefined

  /** `waiting`: how many transactions waited for a connection when the time was over. */
  constructor(timeoutMs: number | undefined, options: ErrorOptions & { readonly waiting?: number } = {}) {
    const { waiting = 0, ...rest } = options
    super(textOfTimeout(timeoutMs, waiting), rest)
    this.timeoutMs = timeoutMs
  }
}

function textOfTimeout(timeoutMs: number | undefined, waiting: number): string {
  if (timeoutMs === undefined)
    return 'the database ended the statement because a timeout set on the server passed'
  const text = `the transaction did not finish within ${timeoutMs} ms and was rolled back`
  if (waiting === 0) return text
  return `${text}; ${waiting} waited for a connection meanwhile: inside a transaction use its \`tx\` and not the store, or give the pool more connections`
}

/** A row does not fit a rule that the schema declares. */
export class ConstraintError extends HoldfastError {
  static {
    this.prototype.name = 'ConstraintError'
  }
  readonly code = 'CONSTRAINT_VIOLATED'
  readonly outcome = 'not-applied'
  readonly kind: 'unique' | 'foreign-key' | 'check' | 'not-null' | 'exclusion'
  /** The constraint's name, or on SQLite the columns; undefined where the driver does not tell. */
  readonly constraint: string | undefined

  constructor(kind: ConstraintError['kind'], constraint: string | undefined, options: ErrorOptions) {
    super(`a ${kind} constraint${constraint ? ` (${constraint})` : ''} refuses the row`, options)
    this.kind = kind
    this.constraint = constraint
  }
}

/** The database refused a statement for a reason that has no class of its own; `cause` is the driver's error. */
export class StatementError extends HoldfastError {
  static {
    this.prototype.name = 'StatementError'
  }
  readonly code = 'STATEMENT_FAILED'
  readonly outcome = 'not-applied'
  /** The SQLSTATE or SQLite result code. */
  readonly sqlState: string | undefined

  constructor(sqlState: string | undefined, hint: string | undefined, options: ErrorOptions) {
    super(`the database refused the statement (${sqlState ?? 'no code'})${hint ? `: ${hint}` : ''}`, options)
    this.sqlState = sqlState
  }
}

/** The store could not be reached, or went away before COMMIT was sent. */
export class StoreUnavailableError extends HoldfastError {
  static {
    this.prototype.name = 'StoreUnavailableError'
  }
  readonly code = 'STORE_UNAVAILABLE'
  readonly outcome: Outcome

  constructor(message: string, outcome: Outcome, options?: ErrorOptions) {
    super(message, options)
    this.outcome = outcome
  }
}

/** The store was closed, or the pool under it was ended: nothing that waiting would mend. */
export class StoreClosedError extends HoldfastError {
  static {
    this.prototype.name = 'StoreClosedError'
  }
  readonly code = 'STORE_CLOSED'
  readonly outcome = 'not-applied'

  constructor(options?: ErrorOptions) {
    super('the store is closed', options)
  }
}

/** COMMIT was sent and no reply came, so the store may or may not hold the transaction. */
export class CommitUnknownError extends HoldfastError {
  static {
    this.prototype.name = 'CommitUnknownError'
  }
  readonly code = 'COMMIT_UNKNOWN'
  readonly outcome = 'unknown'
  readonly transactionId: string
  /** True when the transaction wrote a witness row, so that `store.resolve(error)` can find out. */
  readonly witnessed: boolean
  /** When the answer was missed, on this process's clock. */
  readonly atMs: number

  constructor(transactionId: string, witnessed: boolean, atMs: number, options: ErrorOptions) {
    super(
      `no reply to COMMIT of transaction ${transactionId}; ${
        witnessed ? 'ask store.resolve(error)' : 'run it with { witness: true } to be able to ask'
      }`,
      options,
    )
    this.transactionId = transactionId
    this.witnessed = witnessed
    this.atMs = atMs
  }
}

/** The witness may have been removed since, so that its absence says nothing any more. */
export class WitnessExpiredError extends HoldfastError {
  static {
    this.prototype.name = 'WitnessExpiredError'
  }
  readonly code = 'WITNESS_EXPIRED'
  readonly outcome = 'unknown'
  readonly transactionId: string

  constructor(transactionId: string) {
    super(
      `transaction ${transactionId} was asked about later than half of the store's witnessWindowMs; look at the rows it would have written`,
    )
    this.transactionId = transactionId
  }
}

/** The transaction is over, or a nested one is open and must be used instead. */
export class TransactionStateError extends HoldfastError {
  static {
    this.prototype.name = 'TransactionStateError'
  }
  readonly code = 'TRANSACTION_STATE'
  readonly outcome = 'not-applied'
}

/** A statement had failed and its error was swallowed, so the database answered COMMIT by rolling back. */
export class TransactionAbortedError extends HoldfastError {
  static {
    this.prototype.name = 'TransactionAbortedError'
  }
  readonly code = 'TRANSACTION_ABORTED'
  readonly outcome = 'not-applied'

  constructor(options?: ErrorOptions) {
    super(
      'a statement of the transaction had failed, so the database rolled it back; use tx.transaction() around a statement that may fail',
      options,
    )
  }
}

/** The transaction is committed; a hook that ran afterwards failed. */
export class AfterCommitError extends HoldfastError {
  static {
    this.prototype.name = 'AfterCommitError'
  }
  readonly code = 'AFTER_COMMIT_FAILED'
  readonly outcome = 'applied'
  /** What the transaction returned. */
  readonly result: unknown
  readonly errors: readonly unknown[]

  constructor(result: unknown, errors: readonly unknown[]) {
    super(`the transaction is committed, but ${errors.length} afterCommit hook(s) failed`, {
      cause: errors[0],
    })
    this.result = result
    this.errors = errors
  }
}

/** Holdfast's tables are missing, older than this code needs, or newer than it can read. */
export class SchemaRevisionError extends HoldfastError {
  static {
    this.prototype.name = 'SchemaRevisionError'
  }
  readonly code = 'SCHEMA_REVISION'
  readonly outcome = 'not-applied'
  readonly capability: string
  readonly found: number
  readonly needed: number

  constructor(
    capability: string,
    revision: { found: number; needed: number; reads?: number },
    options?: ErrorOptions,
  ) {
    const { found, needed } = revision
    super(
      found === 0
        ? `the tables of "${capability}" are missing; run "holdfast migrate"`
        : found < needed
          ? `the tables of "${capability}" are at revision ${found}, this code needs ${needed}; run "holdfast migrate"`
          : `the tables of "${capability}" are at revision ${found}, which this code (${needed}) cannot read; update holdfast`,
      options,
    )
    this.capability = capability
    this.found = found
    this.needed = needed
  }
}

const RETRIABLE: ReadonlySet<string> = new Set(['SERIALIZATION_FAILURE', 'DEADLOCK', 'STORE_BUSY'])

/**
 * True when the database itself says that running the whole transaction again may succeed. An error of yours may carry
 * ours as its `cause`; the outermost of ours decides (a lock that was refused is not tried again because the file was
 * busy).
 */
export function isRetriable(error: unknown): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < 8; e = e.cause, depth++) {
    if (isHoldfastError(e)) return RETRIABLE.has(e.code)
  }
  return false
}
