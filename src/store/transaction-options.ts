import { checkOptions, isCount, isDuration } from '../core/options.ts'
import type { TransactionOptions } from './store.ts'

/** What bounds one call: its time over all attempts, and how often it may run again. */
export interface Limits {
  readonly timeoutMs: number
  readonly retries: number
  readonly signal: AbortSignal | undefined
}

/** What most calls give: nothing to check. */
export const DEFAULTS: TransactionOptions = {}
export const READ_ONLY: TransactionOptions = { readOnly: true }
const DEFAULT_LIMITS: Limits = { timeoutMs: 30_000, retries: 10, signal: undefined }

/** @throws ConfigError with every problem */
export function resolveTransactionOptions(given: TransactionOptions): Limits {
  if (given === DEFAULTS || given === READ_ONLY) return DEFAULT_LIMITS
  const { timeoutMs = DEFAULT_LIMITS.timeoutMs, retries = DEFAULT_LIMITS.retries, isolation, signal } = given
  checkOptions('transaction', given, TRANSACTION_OPTION_NAMES, [
    isDuration('timeoutMs', timeoutMs),
    isCount('retries', retries, 0, 1000),
    isolation === undefined ||
      ['read-committed', 'repeatable-read', 'serializable'].includes(isolation) ||
      `isolation must be read-committed, repeatable-read or serializable, got ${String(isolation)}`,
    signal === undefined ||
      typeof signal?.addEventListener === 'function' ||
      `signal must be an AbortSignal, got ${typeof signal}`,
    !(given.readOnly && given.witness) || 'witness needs a transaction that may write, not readOnly',
  ])
  return { timeoutMs, retries, signal }
}

const TRANSACTION_OPTION_NAMES = [
  'isolation',
  'readOnly',
  'timeoutMs',
  'retries',
  'signal',
  'witness',
  'urgent',
]
