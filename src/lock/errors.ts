import { HoldfastError, type Outcome } from '../core/errors.ts'

/** The lock was not free within `waitMs`. Nothing is held and no place in the queue is kept. */
export class LockNotAcquiredError extends HoldfastError {
  static {
    this.prototype.name = 'LockNotAcquiredError'
  }
  readonly code = 'LOCK_NOT_ACQUIRED'
  readonly outcome = 'not-applied'
  readonly lockName: string
  readonly waitMs: number

  constructor(lockName: string, waitMs: number) {
    super(`lock "${lockName}" was not free within ${waitMs} ms`)
    this.lockName = lockName
    this.waitMs = waitMs
  }
}

/** More wait for the lock than its engine keeps in order. */
export class LockQueueFullError extends HoldfastError {
  static {
    this.prototype.name = 'LockQueueFullError'
  }
  readonly code = 'LOCK_QUEUE_FULL'
  readonly outcome = 'not-applied'
  readonly lockName: string

  constructor(lockName: string, entriesMax: number) {
    super(
      `lock "${lockName}" has ${entriesMax} entries, which is the most that are kept: spread the work over names`,
    )
    this.lockName = lockName
  }
}

/** The reason of `lock.signal`: the lease ended or is about to, the lock was taken away, or it was released. */
export class LockLostError extends HoldfastError {
  static {
    this.prototype.name = 'LockLostError'
  }
  readonly code = 'LOCK_LOST'
  readonly outcome = 'not-applied'
  readonly lockName: string
  readonly token: bigint

  constructor(lock: { readonly name: string; readonly token: bigint }, why: string, options?: ErrorOptions) {
    super(`lock "${lock.name}" (token ${lock.token}) is no longer held: ${why}`, options)
    this.lockName = lock.name
    this.token = lock.token
  }
}

/**
 * The engine did not answer. `unknown`: what was asked for may stand until its lease ends. `not-applied`: it was
 * withdrawn, or never held.
 */
export class LockEngineError extends HoldfastError {
  static {
    this.prototype.name = 'LockEngineError'
  }
  readonly code = 'LOCK_ENGINE_UNAVAILABLE'
  readonly outcome: Outcome
  /** Undefined when the question was about all locks. */
  readonly lockName: string | undefined

  constructor(lockName: string | undefined, outcome: Outcome, what: string, options?: ErrorOptions) {
    const subject = lockName === undefined ? 'locks' : `lock "${lockName}"`
    super(
      `${what} ${subject} failed${outcome === 'unknown' ? '; it may be held until its lease ends' : ''}`,
      options,
    )
    this.outcome = outcome
    this.lockName = lockName
  }
}
