import type { Clock } from '../core/clock.ts'
import { LeaseLostError } from './errors.ts'
import type { Lease, LeaseRef } from './lease.ts'

/** A lease that a keeper holds and renews. */
export interface HeldLease extends LeaseRef {
  readonly owner: string
  /**
   * Fires, with a LeaseLostError, when the lease is given up or lost, and in any case a tenth of the lease before it
   * can have ended at the store. Timers of a process that was stopped fire late; `isHeld` does not.
   */
  readonly signal: AbortSignal
  /** The deadline on `store.clock.monotonic()` up to which the lease is used; moves with each renewal. */
  readonly usableUntilMs: number
  /**
   * Looks at the clock: false from the deadline on, even if no timer has fired yet. A process can be stopped between
   * this answer and what it then does, so it spares work and proves nothing; the epoch in the write does.
   */
  isHeld(): boolean
}

/** The keeper's side of a held lease. */
export class Holding implements HeldLease {
  readonly scope: string
  readonly name: string
  readonly owner: string
  readonly epoch: bigint
  readonly #clock: Clock
  readonly #lost = new AbortController()
  /** Ends the watch when the lease ends otherwise. */
  readonly #over = new AbortController()
  #usableUntilMs: number

  constructor(lease: Lease, clock: Clock) {
    this.scope = lease.scope
    this.name = lease.name
    this.owner = lease.owner
    this.epoch = lease.epoch
    this.#clock = clock
    this.#usableUntilMs = usableUntil(lease)
    void this.#watch()
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  get usableUntilMs(): number {
    return this.#usableUntilMs
  }

  isHeld(): boolean {
    if (!this.signal.aborted && this.#clock.monotonic() >= this.#usableUntilMs) {
      this.end('it was not renewed in time')
    }
    return !this.signal.aborted
  }

  /** Takes in a renewal. One that comes after the deadline is not relied on. */
  renewed(lease: Lease): void {
    if (this.isHeld()) this.#usableUntilMs = Math.max(this.#usableUntilMs, usableUntil(lease))
  }

  end(why: string, cause?: unknown): void {
    if (this.signal.aborted) return
    this.#over.abort()
    this.#lost.abort(new LeaseLostError(this, why, cause === undefined ? undefined : { cause }))
  }

  /** One sleep at a time up to the deadline as it is then known, so that a renewal costs no timer. */
  async #watch(): Promise<void> {
    try {
      while (this.isHeld()) {
        await this.#clock.sleep(Math.max(1, this.#usableUntilMs - this.#clock.monotonic()), this.#over.signal)
      }
    } catch {
      // The lease ended otherwise.
    }
  }
}

/** A tenth of the lease is left for timers that fire late and for handlers to notice the signal. */
function usableUntil({ validUntilMs, ttlMs }: Lease): number {
  return validUntilMs - ttlMs / 10
}
