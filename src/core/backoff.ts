import type { Clock } from './clock.ts'

/** Exponential back-off: the first wait is about `baseMs`, each further one doubles, none exceeds `capMs`. */
export interface Backoff {
  readonly baseMs: number
  readonly capMs: number
}

/**
 * The wait before retry number `attempt` (1 for the first). "Equal jitter": half of the exponential step is kept,
 * so that a retry is never at once, and half is random, so that contenders part.
 *
 * @see Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015
 */
export function backoffMs(attempt: number, backoff: Backoff, clock: Pick<Clock, 'random'>): number {
  const step = Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(attempt - 1, 30))
  return step / 2 + (step / 2) * clock.random()
}
