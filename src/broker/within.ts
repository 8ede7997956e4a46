import { orAbort } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'

/** Rejects when `promise` has not settled after `ms`, or with the reason of `signal`. The promise itself goes on. */
export async function within<T>(
  ms: number,
  clock: Clock,
  promise: Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const timeout = new AbortController()
  const settled = new AbortController()
  clock.sleep(ms, settled.signal).then(
    () => timeout.abort(new Error(`no answer within ${ms} ms`)),
    () => {},
  )
  try {
    return await orAbort(promise, signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal)
  } finally {
    settled.abort()
  }
}
