/** Names a lease and the epoch it is held under. */
export interface LeaseRef {
  readonly scope: string
  readonly name: string
  /** 1 for the first holder, one more for each that took over. */
  readonly epoch: bigint
}

/** A lease as it was granted. Whether it still runs is for the store's clock to say. */
export interface Lease extends LeaseRef {
  readonly owner: string
  /** How long the lease was asked for. */
  readonly ttlMs: number
  /**
   * The holder's own deadline, on `store.clock.monotonic()`: before it, the lease cannot have ended at the store.
   *
   * It counts from a moment before the request was sent, so that time on the wire is the holder's loss. It leans on
   * one thing: that this process's monotonic clock and the store's clock run at about the same rate.
   */
  readonly validUntilMs: number
}

/** A row as `select scope, name, owner, epoch, until_ms - now as left_ms` gives it. */
export interface GrantedRow {
  readonly scope: string
  readonly name: string
  readonly owner: string
  readonly epoch: string | number | bigint
  readonly left_ms: string | number | bigint
}

/** The store's clock is read in whole milliseconds, rounded at the acquirer's and again at the successor's reading. */
const ROUNDING_MS = 2

/**
 * `sentAtMs` is before the statement that set `until_ms`, `askedAtMs` before the one that read it. What the store says
 * is left bounds the deadline too, since another grant than ours may stand there (`handOver` gives a shorter one).
 */
export function toLease(
  row: GrantedRow,
  { ttlMs, sentAtMs, askedAtMs }: { ttlMs: number; sentAtMs: number; askedAtMs: number },
): Lease {
  return {
    scope: row.scope,
    name: row.name,
    owner: row.owner,
    epoch: BigInt(row.epoch),
    ttlMs,
    validUntilMs: Math.min(sentAtMs + ttlMs, askedAtMs + Number(row.left_ms)) - ROUNDING_MS,
  }
}
