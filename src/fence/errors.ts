import { HoldfastError } from '../core/errors.ts'

/** The resource has accepted a newer token, or the same one from another holder. Stop working on it. */
export class StaleFenceError extends HoldfastError {
  static {
    this.prototype.name = 'StaleFenceError'
  }
  readonly code = 'STALE_FENCE'
  readonly outcome = 'not-applied'
  readonly resource: string
  readonly presented: bigint
  /** The highest token accepted so far. Equal to `presented` when another holder presented that one. */
  readonly current: bigint

  constructor(given: { resource: string; presented: bigint; current: bigint }) {
    const { resource, presented, current } = given
    super(
      presented === current
        ? `fencing token ${presented} of "${resource}" belongs to another holder`
        : `fencing token ${presented} of "${resource}" is stale; ${current} has been accepted`,
    )
    this.resource = resource
    this.presented = presented
    this.current = current
  }
}
