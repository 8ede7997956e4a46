import {
  type Check,
  checkOptions,
  isBoolean,
  isCount,
  isDuration,
  isOneOf,
  optionsOf,
} from '../core/options.ts'
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
  const { timeoutMs = DEFAULT_LIMITS.timeoutMs, retries = DEFAULT_LIMITS.retries } = optionsOf(
    'transaction',
    given,
  )
  const { isolation, readOnly, witness, urgent, signal } = given
  checkOptions('transaction', given, TRANSACTION_OPTION_NAMES, [
    isDuration('timeoutMs', timeoutMs),
    isCount('retries', retries, 0, 1000),
    isolation === undefined || isIsolation(isolation),
    readOnly === undefined || isBoolean('readOnly', readOnly),
    witness === undefined || isBoolean('witness', witness),
    urgent === undefined || isBoolean('urgent', urgent),
    !(readOnly && witness) || 'witness needs a transaction that may write, not readOnly',
  ])
  return { timeoutMs, retries, signal }
}

/** An isolation level by its name. */
export function isIsolation(value: unknown): Check {
  return isOneOf('isolation', value, ['read-committed', 'repeatable-read', 'serializable'])
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
