import type { Isolation } from './dialect.ts'
import type { OwnTransaction } from './transaction.ts'

export interface PrepareOptions {
  readonly isolation?: Isolation
  /** Bound from the wait for a connection to the answer to PREPARE. Default 30 000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** `absent`: there is no prepared transaction of that name (any more): somebody else has ended it, or it never was. */
export type PreparedEnd = 'done' | 'absent'

/**
 * A transaction that is neither committed nor rolled back: it survives this process and the server, and keeps its locks,
 * until somebody ends it. Exactly one of `commit`, `rollback` and `leave` gives the connection back, so call one.
 */
export interface PreparedWork<Result> {
  readonly result: Result
  /** False when the work touched nothing in this store: there is nothing to end. */
  readonly kept: boolean
  /**
   * On the connection that prepared it, which nobody else waits for. Runs the `afterCommit` hooks when it is committed; one
   * that is `absent` may have been rolled back, unless it is `decided` that all are to commit: then another did it.
   */
  commit(options?: { readonly decided?: boolean }): Promise<PreparedEnd>
  rollback(): Promise<PreparedEnd>
  /** Leaves it prepared, for whoever comes later. */
  leave(): void
}

export interface PreparedTransaction {
  readonly gid: string
  /** Since it was prepared, by the store's clock. */
  readonly ageMs: number
}

/** Two-phase commit, as a database offers it to a coordinator. */
export interface PreparedTransactions {
  /**
   * Runs `work` in a transaction and prepares it under `gid`; once, without retrying. `work` may be told to wait for other
   * participants: the transaction stays open until it fulfils.
   *
   * When this rejects, nothing is known to be prepared, but it may be: a lost connection leaves that open.
   * @throws what `work` throws, unchanged, after the rollback
   */
  prepare<Result>(
    gid: string,
    work: (tx: OwnTransaction) => Promise<Result>,
    options?: PrepareOptions,
  ): Promise<PreparedWork<Result>>

  /** Ends one that was prepared by whomever. Does not queue behind the store's other transactions. */
  commit(gid: string, options?: EndOptions): Promise<PreparedEnd>
  rollback(gid: string, options?: EndOptions): Promise<PreparedEnd>

  /** Those of this database and of this role whose name begins with `prefix`, oldest first. */
  list(prefix: string, options?: EndOptions): Promise<PreparedTransaction[]>

  /** What stands in the way of preparing here, as sentences that name the remedy. Empty when all is well. */
  obstacles(options?: EndOptions): Promise<string[]>
}

export interface EndOptions {
  /** Default 30 000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** What an adapter supplies where the database has prepared transactions; each call takes a connection of its own. */
export interface PreparedEngine {
  end(gid: string, how: 'commit' | 'rollback', signal: AbortSignal): Promise<PreparedEnd>
  list(prefix: string, signal: AbortSignal): Promise<PreparedTransaction[]>
  obstacles(signal: AbortSignal): Promise<string[]>
}

/** The name becomes part of a statement's text, so nothing but plain characters may pass. */
export function isGid(gid: unknown): boolean {
  return typeof gid === 'string' && /^[\w:.-]{1,199}$/.test(gid)
}
