import { setTimeout as sleep } from 'node:timers/promises'
import type { Timeline } from './timeline.ts'

/** One life of a process that may stop itself. */
export interface Pausable {
  /** False once its process is gone. */
  readonly isAlive: () => boolean
  /** True where another process of the same service is there and can take over. */
  readonly hasSuccessor: () => boolean
  readonly wake: () => void
}

/** The order in whose midst a process wants to stop, by the customer's number; `sure` waits until it may. */
export interface Wish {
  readonly service: string
  readonly key: string
  readonly sure: boolean
  readonly answer: (granted: boolean) => void
}

/** What is known of the orders. */
export interface Orders {
  has(key: string): boolean
  /** How many have ended. */
  readonly count: number
}

/** One that has stopped itself is woken at the latest when no order has ended for so long: it may be in the way. */
const STALLED_MS = 25_000
const LOOK_EVERY_MS = 20

/** Lets processes stop themselves, and wakes each as late as can be: once its successor has ended what it was at. */
export class Pauses {
  readonly #timeline: Timeline
  readonly #ended: Orders
  /** The orders that were `sure` and have had their pause. */
  readonly #had = new Set<string>()
  readonly #under = new Map<Pausable, string>()

  /** @param ended the orders that have ended */
  constructor(timeline: Timeline, ended: Orders) {
    this.#timeline = timeline
    this.#ended = ended
  }

  /** From when it may stop until it has done what it was about to do. Such a one is not to be killed. */
  isUnder(process: Pausable): boolean {
    return this.#under.has(process)
  }

  get count(): number {
    return this.#under.size
  }

  async ask(process: Pausable, { service, key, sure, answer }: Wish): Promise<void> {
    while (sure && !this.#had.has(key) && !this.#mayStop(process) && process.isAlive())
      await sleep(LOOK_EVERY_MS)
    const granted = this.#mayStop(process) && !(sure && this.#had.has(key))
    if (granted) {
      this.#under.set(process, key)
      if (sure) this.#had.add(key)
      this.#timeline.add('pause', service, key)
    }
    answer(granted)
    if (granted) await this.#wakeLate(process, key)
  }

  /** It is awake again, and what it was about to do is done. */
  over(process: Pausable, key: string): void {
    if (this.#under.get(process) === key) this.#under.delete(process)
  }

  #mayStop(process: Pausable): boolean {
    return !this.isUnder(process) && process.isAlive() && process.hasSuccessor()
  }

  async #wakeLate(process: Pausable, key: string): Promise<void> {
    await this.#untilEnded(process, key)
    // Again and again: where its time is over before it has got to stop itself, it stops after the first of these.
    while (this.isUnder(process) && process.isAlive()) {
      process.wake()
      await sleep(LOOK_EVERY_MS)
    }
    if (!this.isUnder(process)) return
    // It was dying when it asked.
    this.over(process, key)
    this.#had.delete(key)
  }

  async #untilEnded(process: Pausable, key: string): Promise<void> {
    let { count } = this.#ended
    let sinceMs = performance.now()
    while (!this.#ended.has(key) && process.isAlive() && performance.now() - sinceMs < STALLED_MS) {
      await sleep(LOOK_EVERY_MS)
      if (this.#ended.count === count) continue
      count = this.#ended.count
      sinceMs = performance.now()
    }
  }
}
