/** How long to keep looking at the quickest pace after something was found. */
export const LINGER_MS = 200

/** A pause is at most this part of the silence before it. */
export const SILENCE_PART = 5

export interface PollBounds {
  readonly minMs: number
  readonly maxMs: number
}

/**
 * How often to look for what nothing announces: messages of other processes.
 *
 * While they come, every `minMs`, and so for `LINGER_MS` after the last one: a trickle of 200 a second has gaps of 5 ms,
 * and backing off inside them would make each message wait. Then a pause is a fifth of the silence so far, up to
 * `maxMs`: what comes after a gap waits a tenth of that gap on average, whether gaps are of a second or of ten, and the
 * looks that a gap costs grow only with its logarithm. The start counts as something found a lingering ago. What this
 * process wrote itself must not count as found, announced or not: it would keep the quick pace up for nothing.
 * Times are on the monotonic clock. No I/O, no clock.
 */
export class PollPace {
  nextAtMs = 0
  #lastFoundMs: number | undefined
  #pauseMs = 0

  /** The pause that follows the last look. */
  get pauseMs(): number {
    return this.#pauseMs
  }

  /** After each look. */
  looked(found: boolean, nowMs: number, { minMs, maxMs }: PollBounds): void {
    if (found) this.#lastFoundMs = nowMs
    this.#lastFoundMs ??= nowMs - LINGER_MS
    const silenceMs = nowMs - this.#lastFoundMs
    const wantedMs = silenceMs < LINGER_MS ? minMs : silenceMs / SILENCE_PART
    this.#pauseMs = Math.min(maxMs, Math.max(minMs, wantedMs))
    this.nextAtMs = nowMs + this.#pauseMs
  }

  /** Looks at once. */
  lookNow(): void {
    this.nextAtMs = 0
  }
}
