import { type Backoff, backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { type Check, isCount, isDuration } from '../core/options.ts'

/** How a step, or its undo, is tried again. */
export interface RetryPolicy {
  /** Tries in all. Default 5 for a step, 10 for an undo or a confirm. */
  readonly attemptsMax?: number
  /** The wait before the second try; each further one doubles, with jitter. Default 200. */
  readonly baseMs?: number
  /** The longest wait, also where an error asks for a longer one (`retryAfterMs`). Default 30 000. */
  readonly capMs?: number
  /** True for an error after which trying again is of no use. Errors with `final: true` always are. */
  readonly isFinal?: (error: unknown) => boolean
}

export interface ResolvedPolicy extends Backoff {
  readonly attemptsMax: number
  readonly isFinal: ((error: unknown) => boolean) | undefined
}

export function resolvePolicy(given: RetryPolicy | undefined, attemptsMax: number): ResolvedPolicy {
  return {
    attemptsMax: given?.attemptsMax ?? attemptsMax,
    baseMs: given?.baseMs ?? 200,
    capMs: given?.capMs ?? 30_000,
    isFinal: given?.isFinal,
  }
}

export function policyChecks(name: string, given: RetryPolicy | undefined): Check[] {
  if (given === undefined) return []
  const { attemptsMax, baseMs, capMs, isFinal } = given
  return [
    ...Object.keys(given)
      .filter((key) => !['attemptsMax', 'baseMs', 'capMs', 'isFinal'].includes(key))
      .map((key) => `unknown option ${name}.${key} (known: attemptsMax, baseMs, capMs, isFinal)`),
    attemptsMax === undefined || isCount(`${name}.attemptsMax`, attemptsMax, 1, 1_000_000),
    baseMs === undefined || isDuration(`${name}.baseMs`, baseMs),
    capMs === undefined || isDuration(`${name}.capMs`, capMs),
    isFinal === undefined || typeof isFinal === 'function' || `${name}.isFinal must be a function`,
  ]
}

/** What no repetition mends: the answer is no, the request is wrong, or it is out of order. */
const FINAL_CODES: ReadonlySet<string> = new Set([
  'STEP_REFUSED',
  'STEP_UNDONE',
  'STEP_CONFIRMED',
  'STEP_NOT_TRIED',
  'STEP_INVALID',
  'STEP_ANSWER_INVALID',
  'PAYLOAD_INVALID',
  'CONFIG_INVALID',
  'UNSUPPORTED',
  'SCHEMA_REVISION',
  'WAIT_TIMEOUT',
  'SAGA_FAILED',
  'SAGA_ID_TAKEN',
])

export function isFinal(error: unknown, policy: ResolvedPolicy): boolean {
  const { code, final } = (error ?? {}) as { code?: unknown; final?: unknown }
  return (
    final === true || (typeof code === 'string' && FINAL_CODES.has(code)) || policy.isFinal?.(error) === true
  )
}

/**
 * The wait before the next try: the back-off, or what the error asks for where that is longer, as `retryAfterMs` of an HTTP
 * answer does; never more than the policy's maximum.
 */
export function waitMs(
  attempt: number,
  error: unknown,
  policy: ResolvedPolicy,
  clock: Pick<Clock, 'random'>,
): number {
  const { retryAfterMs } = (error ?? {}) as { retryAfterMs?: unknown }
  const asked = typeof retryAfterMs === 'number' && retryAfterMs > 0 ? retryAfterMs : 0
  return Math.max(backoffMs(attempt, policy, clock), Math.min(asked, policy.capMs))
}

/** True when the error says that nothing was applied; anything else leaves it open. */
export function isNotApplied(error: unknown): boolean {
  return (error as { outcome?: unknown } | undefined)?.outcome === 'not-applied'
}
