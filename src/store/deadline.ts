import { armWhenOlder, forget } from '../core/young-timers.ts'

/** Something that may end while one waits: a deadline, or a signal. */
export interface Expiry {
  readonly fired: boolean
  readonly reason: unknown
  /** Calls `listener` when it fires later; gives the function that forgets it. */
  whenFired(listener: () => void): () => void
}

/** The same of an AbortSignal. */
export function expiryOf(signal: AbortSignal): Expiry {
  return {
    get fired() {
      return signal.aborted
    },
    get reason() {
      return signal.reason
    },
    whenFired(listener) {
      signal.addEventListener('abort', listener, { once: true })
      return () => signal.removeEventListener('abort', listener)
    },
  }
}

/**
 * The end of one transaction's time: its own time-out, or the caller's signal, whichever comes first.
 *
 * An AbortSignal and its listeners cost more than the rest of a short transaction, so the signal is made only when
 * somebody asks for it, and waiting goes through `race` and `whenFired`.
 */
export class Deadline implements Expiry {
  #fired = false
  #reason: unknown
  #controller: AbortController | undefined
  /** Ends the race that runs; without effect once that is over. */
  #stop: ((reason: unknown) => void) | undefined
  #listeners: Set<() => void> | undefined
  readonly #ms: number
  readonly #makeReason: () => unknown
  #timer: NodeJS.Timeout | undefined
  #cleared = false
  readonly #caller: AbortSignal | undefined
  #onCaller: (() => void) | undefined

  constructor(ms: number, makeReason: () => unknown, caller: AbortSignal | undefined) {
    this.#ms = ms
    this.#makeReason = makeReason
    this.#caller = caller
    if (caller?.aborted) {
      this.#fire(caller.reason)
      return
    }
    if (caller) {
      this.#onCaller = () => this.#fire(caller.reason)
      waitersOf(caller).add(this.#onCaller)
    }
    if (!armWhenOlder(this, ms)) this.arm()
  }

  get fired(): boolean {
    return this.#fired
  }

  get reason(): unknown {
    return this.#reason
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      // Its listeners are the caller's, and so is the context in which a timer made here calls them.
      this.arm()
      this.#controller = new AbortController()
      if (this.#fired) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /**
   * Rejects with the reason when the deadline fires before `promise` settles. The promise itself goes on. One race at a
   * time: the stages of a transaction follow each other.
   */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#stop = reject
      promise.then(resolve, reject)
      if (this.#fired) reject(this.#reason)
    })
  }

  whenFired(listener: () => void): () => void {
    this.#listeners ??= new Set()
    this.#listeners.add(listener)
    return () => this.#listeners?.delete(listener)
  }

  throwIfFired(): void {
    if (this.#fired) throw this.#reason
  }

  /** Starts its timer, unless it has one or is over. */
  arm(): void {
    if (this.#cleared || this.#fired || this.#timer !== undefined) return
    this.#timer = setTimeout(() => this.#fire(this.#makeReason()), this.#ms)
  }

  /** Lets go of the timer and of the caller's signal. */
  clear(): void {
    this.#cleared = true
    if (this.#timer !== undefined) clearTimeout(this.#timer)
    else forget(this)
    if (this.#caller && this.#onCaller) waitersOf(this.#caller).delete(this.#onCaller)
  }

  #fire(reason: unknown): void {
    if (this.#fired) return
    this.#fired = true
    this.#reason = reason
    this.#controller?.abort(reason)
    this.#stop?.(reason)
    for (const listener of this.#listeners ?? []) listener()
  }
}

const waiting = new WeakMap<AbortSignal, Set<() => void>>()

/**
 * One listener on each signal, however many transactions run under it: a signal for the whole process is common, and
 * Node warns of a leak when a signal has more than ten listeners.
 */
function waitersOf(signal: AbortSignal): Set<() => void> {
  let waiters = waiting.get(signal)
  if (waiters === undefined) {
    const made = new Set<() => void>()
    signal.addEventListener(
      'abort',
      () => {
        for (const fire of [...made]) fire()
      },
      { once: true },
    )
    waiting.set(signal, made)
    waiters = made
  }
  return waiters
}
