import { HoldfastError } from '../core/errors.ts'

/**
 * The lease that the work was done under has another epoch now, or the effect was recorded under a newer one. Somebody
 * else has taken over: stop, and let the transaction roll back.
 */
export class StaleEpochError extends HoldfastError {
  static {
    this.prototype.name = 'StaleEpochError'
  }
  readonly code = 'STALE_EPOCH'
  readonly outcome = 'not-applied'
  readonly presented: bigint
  /** The epoch found instead; undefined when the lease does not exist. */
  readonly current: bigint | undefined

  constructor(what: string, epochs: { presented: bigint; current: bigint | undefined }) {
    const { presented, current } = epochs
    super(
      `${what}: epoch ${presented} is stale, ${current === undefined ? 'no such lease exists' : `it is at ${current}`}`,
    )
    this.presented = presented
    this.current = current
  }
}
