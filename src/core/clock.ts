import { setTimeout as delay } from 'node:timers/promises'

/**
 * The one reader of time and randomness, so that tests and the explorer can govern both.
 *
 * Units: milliseconds. `now` is for instants that people read; `monotonic` is for durations and deadlines and
 * never jumps. Whether a lease has ended is never judged by this clock but by the store's.
 */
export interface Clock {
  now(): number
  monotonic(): number
  /** Resolves after `ms`; rejects with `signal.reason` when aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Uniform in [0, 1). */
  random(): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, signal ? { signal } : {})
    } catch (error) {
      throw signal?.aborted ? signal.reason : error
    }
  },
  random: () => Math.random(),
}
