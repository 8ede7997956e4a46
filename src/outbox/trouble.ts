import { type Backoff, backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'

/** The wait after the broker or the store was out of reach. No attempt of any message is counted then. */
export const TROUBLE_BACKOFF: Backoff = { baseMs: 50, capMs: 5_000 }

/** The broker or the store is out of reach: the whole relay waits, longer each time. */
export class Trouble {
  /** Nothing is read before this. On the monotonic clock. */
  resumeAtMs = 0
  /** The last one since `forget`, for who waits for the relay to be idle. */
  last: unknown
  #count = 0
  readonly #clock: Clock
  readonly #log: Log
  readonly #outbox: string

  constructor(clock: Clock, log: Log, outbox: string) {
    this.#clock = clock
    this.#log = log
    this.#outbox = outbox
  }

  meet(message: string, error: unknown): void {
    const nowMs = this.#clock.monotonic()
    this.last = error
    // Several publishes that fail together are one trouble.
    if (nowMs < this.resumeAtMs) return
    this.#count++
    const waitMs = backoffMs(this.#count, TROUBLE_BACKOFF, this.#clock)
    this.resumeAtMs = nowMs + waitMs
    this.#log.warn(message, { outbox: this.#outbox, waitMs: Math.round(waitMs), error })
  }

  /** Something went through again. */
  end(): void {
    this.#count = 0
  }

  forget(): void {
    this.last = undefined
  }
}
