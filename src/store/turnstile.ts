import type { Expiry } from './deadline.ts'

/**
 * Lets `places` in at a time, the others in order of arrival; who is urgent goes before all who are not. The queue is as
 * long as the transactions that wait, and each of those has a deadline of its own.
 */
export class Turnstile {
  readonly #places: number
  #inside = 0
  readonly #queue: (() => void)[] = []
  /** How many at the head of the queue are urgent. */
  #urgent = 0

  constructor(places = 1) {
    this.#places = places
  }

  get free(): boolean {
    return this.#inside < this.#places && this.#queue.length === 0
  }

  /** How many are in the queue. */
  get waiting(): number {
    return this.#queue.length
  }

  /** Takes a place if one is free, and gives the function that leaves it, which works once. */
  tryEnter(): (() => void) | undefined {
    if (!this.free) return undefined
    this.#inside += 1
    return this.#leaveOnce()
  }

  /** Waits for a place. Rejects with the reason when `expiry` fires first, and leaves the queue. */
  async enter(expiry?: Expiry, { urgent = false } = {}): Promise<() => void> {
    if (expiry?.fired) throw expiry.reason
    const leave = this.tryEnter()
    if (leave !== undefined) return leave
    return new Promise((resolve, reject) => {
      const admit = (): void => {
        forget?.()
        resolve(this.#leaveOnce())
      }
      const forget = expiry?.whenFired(() => {
        const place = this.#queue.indexOf(admit)
        this.#queue.splice(place, 1)
        if (place < this.#urgent) this.#urgent -= 1
        reject(expiry.reason)
      })
      if (urgent) this.#queue.splice(this.#urgent++, 0, admit)
      else this.#queue.push(admit)
    })
  }

  /** The place goes straight to the next in the queue, so that nobody who comes later can take it in between. */
  #leaveOnce(): () => void {
    let left = false
    return () => {
      if (left) return
      left = true
      const next = this.#queue.shift()
      if (this.#urgent > 0) this.#urgent -= 1
      if (next === undefined) this.#inside -= 1
      else next()
    }
  }
}
