import { type Clock, systemClock } from './clock.ts'

/**
 * Calls `act` after `ms`, unless cancelled by the function it gives. On the system clock it is one bare timer, since
 * every lock and every answer that is waited for needs one; it does not keep the process alive when `idle` is set.
 */
export function after(clock: Clock, ms: number, act: () => void, { idle = false } = {}): () => void {
  if (clock === systemClock) {
    const timer = setTimeout(act, ms)
    if (idle) timer.unref()
    return () => clearTimeout(timer)
  }
  const over = new AbortController()
  clock.sleep(ms, over.signal).then(act, () => {})
  return () => over.abort()
}

/** Rejects with `late()` when `promise` has not settled after `ms`. The promise itself goes on. */
export function within<T>(
  clock: Clock,
  ms: number,
  promise: Promise<T>,
  late: () => unknown = () => new Error(`no answer within ${ms} ms`),
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const cancel = after(clock, ms, () => reject(late()))
    promise.then(
      (value) => {
        cancel()
        resolve(value)
      },
      (error) => {
        cancel()
        reject(error)
      },
    )
  })
}
