import type { Clock } from '../core/clock.ts'

export type LockMode = 'exclusive' | 'shared' | 'semaphore'

/** One place in the queue of a lock: who asks for what. */
export interface LockRequest {
  readonly name: string
  /** Unique per call of `acquire`, so that asking twice is asking once. */
  readonly holder: string
  readonly mode: LockMode
  /** How many may hold at once: 1 for exclusive, the permits of a semaphore, `Infinity` for shared. */
  readonly limit: number
  readonly ttlMs: number
}

/** What a holder has been given. */
export interface Grant {
  /** Higher than the token of every holder before, for exclusive locks of one name. */
  readonly token: bigint
  /** The time to live that the engine really gave. */
  readonly ttlMs: number
  /** The holder's own deadline on `clock.monotonic()`: before it, the lease cannot have ended at the engine. */
  readonly validUntilMs: number
}

export type LockAnswer =
  | ({ readonly kind: 'held' } & Grant)
  /** In the queue. `lookInMs` is when an entry before this one may end by itself. */
  | { readonly kind: 'waiting'; readonly ahead: number; readonly lookInMs: number }
  /** Not free, and not in the queue since `wait` was false. */
  | { readonly kind: 'refused' }
  /** Not free, and the queue has no room. */
  | { readonly kind: 'full'; readonly entriesMax: number }

export interface LockEntryInfo {
  readonly holder: string
  readonly mode: LockMode
  readonly token: bigint
  /** Since it joined the queue; null where the engine does not know. */
  readonly ageMs: number | null
  /** What is left of its lease; null where the engine does not tell. */
  readonly leftMs: number | null
}

export interface LockInfo {
  readonly name: string
  readonly holders: readonly LockEntryInfo[]
  readonly waiters: readonly LockEntryInfo[]
}

/**
 * Where the queues of locks are kept. Made by `storeLocks`, `redisLocks`, `etcdLocks` or `zookeeperLocks`; `createLocks`
 * builds everything else on it.
 *
 * An entry of a queue holds when all entries before it have its mode and are fewer than its limit (src/lock/queue.ts).
 * Every call may be repeated. An error of any call leaves open whether it took effect, unless its `outcome` is
 * `not-applied` and its `code` says that waiting does not mend it.
 */
export interface LockEngine {
  readonly name: string
  readonly clock: Clock
  /** What `ttlMs` can be. Read when a lock is asked for, since it can depend on a session. */
  ttlBounds(): { readonly minMs: number; readonly maxMs: number }
  /** Joins the queue, or looks again at the place this holder has, and keeps that place for another `ttlMs`. */
  ask(request: LockRequest, options: { readonly wait: boolean }): Promise<LockAnswer>
  /** Gives the new deadline, or undefined when the entry is gone. Revives nothing. */
  renew(request: LockRequest): Promise<{ readonly validUntilMs: number } | undefined>
  /** Removes the entry, holding or waiting. True when it was still there. */
  release(request: Pick<LockRequest, 'name' | 'holder'>): Promise<boolean>
  /**
   * Calls `wake` when asking again is worth it; with a grant where the engine handed the lock over by the same message.
   * Registered in the turn of the first `ask`, ended by the function it gives. A wake-up may get lost: asking is the safety net.
   */
  watch(request: LockRequest, wake: (grant?: Grant) => void): () => void
  /** What is held or waited for, ascending by name. */
  list(options: { readonly limit: number }): Promise<LockInfo[]>
  show(name: string): Promise<LockInfo | undefined>
  /** Removes those who hold now, whoever they are, and gives what was there. */
  expel(name: string): Promise<LockInfo | undefined>
  /** Ends what the engine opened itself. */
  close(): Promise<void>
}
