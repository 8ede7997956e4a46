import type { Clock } from '../core/clock.ts'

/** Counts events and tells how many a second there were lately. */
export class Rate {
  /** Since the process started. */
  total = 0
  readonly #clock: Clock
  readonly #startedMs: number
  readonly #counts = new Array<number>(WINDOW_SECONDS + 1).fill(0)
  #second: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedMs = clock.monotonic()
    this.#second = Math.floor(this.#startedMs / 1000)
  }

  add(count: number): void {
    this.total += count
    this.#advance()
    this.#counts[this.#second % this.#counts.length] =
      (this.#counts[this.#second % this.#counts.length] as number) + count
  }

  /** The mean of the last ten whole seconds, or of the time since the start where that is shorter. */
  perSecond(): number {
    this.#advance()
    const current = this.#counts[this.#second % this.#counts.length] as number
    const past = this.#counts.reduce((sum, count) => sum + count, 0) - current
    const seconds = Math.min(WINDOW_SECONDS, this.#second - Math.floor(this.#startedMs / 1000))
    return seconds === 0 ? current : past / seconds
  }

  #advance(): void {
    const second = Math.floor(this.#clock.monotonic() / 1000)
    const steps = Math.min(second - this.#second, this.#counts.length)
    for (let i = 0; i < steps; i++) this.#counts[(second - i) % this.#counts.length] = 0
    this.#second = second
  }
}

const WINDOW_SECONDS = 10
