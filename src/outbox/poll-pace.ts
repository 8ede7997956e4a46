/** How long the relay keeps looking at the quickest pace after the last message of another process. */
export const LINGER_MS = 200

export interface PollBounds {
  readonly minMs: number
  readonly maxMs: number
}

/**
 * How often to look for messages that nothing announced: those of other processes.
 *
 * While they come, every `minMs`, and so for `LINGER_MS` after the last one: a trickle of 200 a second has gaps of 5 ms,
 * and backing off inside them would make each message wait. Then each pause is twice the one before, up to `maxMs`.
 * Times are on the monotonic clock. No I/O, no clock.
 */
export class PollPace {
  nextAtMs = 0
  #everyMs = 0
  #lastFoundMs = Number.NEGATIVE_INFINITY

  /** After each look. */
  looked(found: boolean, nowMs: number, { minMs, maxMs }: PollBounds): void {
    if (found) this.#lastFoundMs = nowMs
    const lingers = nowMs - this.#lastFoundMs < LINGER_MS
    this.#everyMs = lingers ? minMs : Math.min(maxMs, Math.max(minMs, this.#everyMs * 2))
    this.nextAtMs = nowMs + this.#everyMs
  }

  /** Looks at once. */
  lookNow(): void {
    this.nextAtMs = 0
  }
}
