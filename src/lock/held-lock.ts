import type { FencedLock } from '../fence/fence.ts'
import type { LockMode } from './engine.ts'

/** A lock that is held, and renewed until it is released. `await using lock = …` releases it. */
export interface HeldLock extends AsyncDisposable {
  readonly name: string
  readonly mode: LockMode
  readonly token: bigint
  /** Unique per acquire: host, process and a number. */
  readonly holder: string
  /** The time to live that the engine really gave. A killed holder's lock is free after it. */
  readonly ttlMs: number
  /**
   * Fires, with a LockLostError, when the lock is lost or released, and in any case a tenth of the lease before it can
   * have ended at the engine, judged by the monotonic clock. Timers of a process that was stopped fire late: what then
   * refuses its writes is the guard (`fence`).
   */
  readonly signal: AbortSignal
  /** The deadline on the monotonic clock up to which the lock is used; moves with each renewal. */
  readonly usableUntilMs: number
  /** Looks at the clock: false from the deadline on, even if no timer has fired yet. */
  isHeld(): boolean
  /**
   * Releases the lock. True when it was still held, false when it had ended before. Calling it twice is fine.
   * @throws LockEngineError, outcome `unknown`: the engine did not answer; the lock is free when its lease has ended
   */
  release(): Promise<boolean>
}

/** Only one holder at a time, so its token orders the holders: what `fence` accepts. */
export interface ExclusiveLock extends HeldLock, FencedLock {
  readonly mode: 'exclusive'
}

/** Held beside other readers. Its token orders nothing, and `fence` does not take it. */
export interface SharedLock extends HeldLock {
  readonly mode: 'shared'
}

/** One of the permits of a semaphore. `fence` does not take it. */
export interface SemaphorePermit extends HeldLock {
  readonly mode: 'semaphore'
}

/** Several exclusive locks, held together. `fence(tx, set.locks)` presents them all. */
export interface LockSet extends AsyncDisposable {
  /** In the order in which they were acquired: ascending by name. */
  readonly locks: readonly ExclusiveLock[]
  /** Fires with the first of the locks' signals. */
  readonly signal: AbortSignal
  isHeld(): boolean
  /** Releases all. True when all were still held. */
  release(): Promise<boolean>
}
