import { setMaxListeners } from 'node:events'
import type { Clock } from '../core/clock.ts'
import { BrokerUnavailableError } from './errors.ts'

/**
 * Runs a publish to the server until it is done, or `timeoutMs` have passed, or one of the signals fires.
 * @throws the reason of what ended it; BrokerUnavailableError for anything else that goes wrong
 */
export async function publishInTime<T>(
  { name, clock, timeoutMs }: { readonly name: string; readonly clock: Clock; readonly timeoutMs: number },
  signals: readonly AbortSignal[],
  publish: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timeout = new AbortController()
  const finished = new AbortController()
  clock.sleep(timeoutMs, finished.signal).then(
    () => timeout.abort(new BrokerUnavailableError(name, { cause: new Error('timed out') })),
    () => {},
  )
  const signal = AbortSignal.any([...signals, timeout.signal])
  setMaxListeners(0, signal) // one for each message in flight
  try {
    return await publish(signal)
  } catch (error) {
    if (signal.aborted && error === signal.reason) throw error
    throw new BrokerUnavailableError(name, { cause: error })
  } finally {
    finished.abort()
  }
}
