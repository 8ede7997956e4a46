import { type Log, silentLog } from '../core/log.ts'
import {
  checkArguments,
  checkOptions,
  isAge,
  isBoolean,
  isCount,
  isDuration,
  isDurationOrZero,
  isList,
  isName,
  isObject,
  show,
} from '../core/options.ts'
import { type Recurring, recurringChecks } from './recurring.ts'
import type { Saga } from './saga.ts'

// biome-ignore lint/suspicious/noExplicitAny: sagas of any input and output
export type AnySaga = Saga<any, any>

export interface SagaRunnerOptions {
  /** What this runner can run; all of one group. A saga of another name is left for a runner that knows it. */
  readonly sagas: readonly AnySaga[]
  /** Sagas that run at a time in this process; those that wait for something do not count. Default 100. */
  readonly concurrency?: number
  /** How often to look for what other processes started, woke or left. Default 200. */
  readonly pollMs?: number
  /** How long a partition is leased. A killed runner's sagas go on elsewhere within this, a second and one poll. Default 10 000. */
  readonly ttlMs?: number
  readonly owner?: string
  /** A saga that only waits is laid down after this, unless its wait is over sooner. Default 500. */
  readonly parkAfterMs?: number
  /** How long an aborted step is waited for before its outcome counts as unknown. Default 5 000. */
  readonly abandonMs?: number
  /** Started once per tick, whatever the number of processes. */
  readonly recurring?: readonly Recurring[]
  /** Ended sagas are removed after this. Default: 30 days; `false`: never. */
  readonly retentionMs?: number | false
  /** Replays every saga after each step. For tests of your own sagas: what is not deterministic shows at once. */
  readonly alwaysReplay?: boolean
  readonly log?: Log
  /** Firing it is like calling `stop({ drainMs: 0 })`. */
  readonly signal?: AbortSignal
}

export interface ResolvedRunner {
  readonly sagas: readonly AnySaga[]
  readonly group: string
  readonly concurrency: number
  readonly pollMs: number
  readonly ttlMs: number
  readonly owner: string | undefined
  readonly parkAfterMs: number
  readonly abandonMs: number
  readonly recurring: readonly Recurring[]
  readonly retentionMs: number | false
  readonly alwaysReplay: boolean
  readonly log: Log
  readonly signal: AbortSignal | undefined
}

const OPTION_NAMES = [
  'sagas',
  'concurrency',
  'pollMs',
  'ttlMs',
  'owner',
  'parkAfterMs',
  'abandonMs',
  'recurring',
  'retentionMs',
  'alwaysReplay',
  'log',
  'signal',
]

/** @throws ConfigError with every problem */
export function resolveRunner(given: SagaRunnerOptions): ResolvedRunner {
  checkArguments('sagaRunner', isObject('options', given))
  const { concurrency = 100, pollMs = 200, ttlMs = 10_000, parkAfterMs = 500, abandonMs = 5_000 } = given
  const {
    recurring = [],
    retentionMs = 30 * 86_400_000,
    alwaysReplay = false,
    log = silentLog,
    signal,
    owner,
  } = given
  const sagas = Array.isArray(given.sagas) ? (given.sagas as readonly AnySaga[]) : []
  const groups = new Set(sagas.map((saga) => saga?.options?.group))
  checkOptions('sagaRunner', given, OPTION_NAMES, [
    sagas.length > 0 || 'sagas must name at least one saga',
    sagas.every((saga) => typeof saga?.code === 'function') || 'sagas must hold what saga() gave',
    groups.size <= 1 || `sagas must be of one group, got ${[...groups].join(', ')}; start a runner for each`,
    new Set(sagas.map((saga) => saga?.name)).size === sagas.length || 'two sagas have the same name',
    isCount('concurrency', concurrency, 1, 100_000),
    isDuration('pollMs', pollMs),
    isDuration('ttlMs', ttlMs),
    isDurationOrZero('parkAfterMs', parkAfterMs),
    isDurationOrZero('abandonMs', abandonMs),
    isBoolean('alwaysReplay', alwaysReplay),
    owner === undefined || isName('owner', owner),
    retentionMs === false ||
      (isAge('retentionMs', retentionMs) === true && retentionMs > 0) ||
      `retentionMs must be false, or a number of milliseconds above 0, got ${show(retentionMs)}`,
    ...(Array.isArray(recurring) ? recurringChecks(recurring) : [isList('recurring', recurring)]),
  ])
  return {
    sagas,
    group: sagas[0]?.options.group ?? 'default',
    concurrency,
    pollMs,
    ttlMs,
    owner,
    parkAfterMs,
    abandonMs,
    recurring,
    retentionMs,
    alwaysReplay,
    log,
    signal,
  }
}
