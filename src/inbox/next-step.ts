import { type Backoff, backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'

export interface ConsumerRetry extends Backoff {
  /** How often the handler is tried before the message becomes a dead letter. */
  readonly attemptsMax: number
}

export type NextStep =
  /** The store's own trouble; the message is not at fault, so the attempt does not count and the key waits. */
  | { readonly kind: 'again'; readonly waitMs: number }
  | { readonly kind: 'retry'; readonly waitMs: number }
  | { readonly kind: 'dead-letter' }
  /** Another process holds the partition now. */
  | { readonly kind: 'lost' }

export interface Failure {
  readonly error: unknown
  /** The attempt that failed, from 1. */
  readonly attempt: number
  /** Failures of the store in a row, this one included. */
  readonly troubles: number
}

const TROUBLE: ReadonlySet<unknown> = new Set([
  'STORE_UNAVAILABLE',
  'STORE_CLOSED',
  'STORE_BUSY',
  'COMMIT_UNKNOWN',
])

/** Decides what follows a failed attempt. No clock but for jitter, no I/O. */
export function nextStep(failure: Failure, retry: ConsumerRetry, clock: Pick<Clock, 'random'>): NextStep {
  const code = (failure.error as { code?: unknown } | undefined)?.code
  if (code === 'STALE_EPOCH') return { kind: 'lost' }
  if (isTrouble(failure.error)) return { kind: 'again', waitMs: backoffMs(failure.troubles, retry, clock) }
  if (code === 'MESSAGE_INVALID' || failure.attempt >= retry.attemptsMax) return { kind: 'dead-letter' }
  return { kind: 'retry', waitMs: backoffMs(failure.attempt, retry, clock) }
}

/** After an unknown COMMIT the message simply runs again: the effect row tells whether it had happened. */
export function isTrouble(error: unknown): boolean {
  return TROUBLE.has((error as { code?: unknown } | undefined)?.code)
}
