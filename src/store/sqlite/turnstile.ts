import { orAbort } from '../../core/abort.ts'

/** One at a time, in order of arrival. */
export class Turnstile {
  #tail: Promise<void> = Promise.resolve()
  #waiting = 0

  get idle(): boolean {
    return this.#waiting === 0
  }

  /** Waits for the turn and gives the function that ends it. A caller that aborts while waiting passes its turn on. */
  async enter(signal: AbortSignal): Promise<() => void> {
    const before = this.#tail
    let leave!: () => void
    this.#tail = new Promise((resolve) => {
      leave = () => {
        this.#waiting--
        resolve()
      }
    })
    this.#waiting++
    try {
      await orAbort(before, signal)
    } catch (error) {
      void before.then(leave)
      throw error
    }
    return leave
  }
}
