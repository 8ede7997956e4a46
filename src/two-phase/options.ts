import { type Log, silentLog } from '../core/log.ts'
import { checkOptions, isAge, isDuration, isName, optionsOf, show } from '../core/options.ts'
import type { Store } from '../store/index.ts'
import { PARTICIPANT_NAME } from './gid.ts'

export interface TwoPhaseOptions<
  Participants extends Readonly<Record<string, Store>> = Readonly<Record<string, Store>>,
> {
  /**
   * The stores that may take part, by the names that recovery knows them by in every process: keep them. At most one may
   * be unable to prepare (SQLite), and that one is the log.
   */
  readonly participants: Participants
  /** Tells the logs of one database apart. Default `default`. */
  readonly name?: string
  /** Who decides, in the log: a host and a process, say. Default: a random word. */
  readonly owner?: string
  /**
   * How long decisions are kept once they are carried out (those that the coordinator itself carried out go at once). It
   * has to outlast any pause of a coordinator. Default 7 days, at least an hour.
   */
  readonly windowMs?: number
  readonly log?: Log
}

export interface RunOptions {
  readonly isolation?: 'read-committed' | 'repeatable-read' | 'serializable'
  /** Bound of all attempts together, up to the decision. Default 30 000. */
  readonly timeoutMs?: number
  /** Attempts after the first, made only for what a database calls retriable. Default 10. */
  readonly retries?: number
  /** What this is an attempt of, 1 to 1000 characters, for `takeOver`. */
  readonly attemptOf?: string
  readonly signal?: AbortSignal
}

export interface TakeOverOptions {
  readonly stores: readonly Store[]
  readonly attemptOf: string
  /** Bound of each request to a store. Default 5 000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** The longest `attemptOf`. */
export const ATTEMPT_OF_MAX = 1_000

export interface RecoverOptions {
  /**
   * A prepared transaction without a decision that is older than this is aborted. Shorter is safe too: a coordinator that
   * is merely slow then finds that it was aborted. Default 15 000.
   */
  readonly inDoubtMs?: number
  /** Bound of each request to a store. Default 5 000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface RecoveryOptions extends Omit<RecoverOptions, 'signal'> {
  /** Pause between two looks, each random from half to one and a half of it. Default 5 000. */
  readonly everyMs?: number
  readonly signal?: AbortSignal
}

export interface ResolvedTwoPhase {
  readonly name: string
  readonly owner: string
  readonly windowMs: number
  readonly log: Log
}

const HOUR_MS = 3_600_000

export function resolveTwoPhase(
  options: TwoPhaseOptions,
  logStore: Store,
  randomOwner: () => string,
): ResolvedTwoPhase {
  const {
    participants,
    name = 'default',
    owner = randomOwner(),
    windowMs = 7 * 24 * HOUR_MS,
    log = silentLog,
  } = options
  const names = Object.keys(participants ?? {})
  const bad = names.filter((n) => !PARTICIPANT_NAME.test(n))
  const unable = names.filter((n) => participants[n]?.prepared === undefined && participants[n] !== logStore)
  checkOptions(
    'createTwoPhase',
    options,
    ['participants', 'name', 'owner', 'windowMs', 'log'],
    [
      names.length > 0 || 'participants must name at least one store',
      bad.length === 0 ||
        `names of participants are made of letters, digits, _, . and -, got ${bad.join(', ')}`,
      new Set(Object.values(participants ?? {})).size === names.length || 'a store has two names',
      unable.length === 0 ||
        `${unable.join(', ')} cannot prepare a transaction: a store of that kind can only be the log itself, the first argument`,
      isName('name', name, 100),
      isName('owner', owner),
      (Number.isFinite(windowMs) && windowMs >= HOUR_MS) ||
        `windowMs must be at least an hour (${HOUR_MS}), got ${show(windowMs)}`,
    ],
  )
  return Object.freeze({ name, owner, windowMs, log })
}

export function checkTakeOver(options: TakeOverOptions): void {
  const { attemptOf, timeoutMs } = optionsOf('takeOver', options)
  checkOptions(
    'takeOver',
    options,
    ['stores', 'attemptOf', 'timeoutMs', 'signal'],
    [
      isName('attemptOf', attemptOf, ATTEMPT_OF_MAX),
      timeoutMs === undefined || isDuration('timeoutMs', timeoutMs),
    ],
  )
}

export function resolveRecover(options: RecoverOptions): { inDoubtMs: number; timeoutMs: number } {
  const { inDoubtMs = 15_000, timeoutMs = 5_000 } = optionsOf('recover', options)
  checkOptions(
    'recover',
    options,
    ['inDoubtMs', 'timeoutMs', 'signal'],
    [isAge('inDoubtMs', inDoubtMs), isDuration('timeoutMs', timeoutMs)],
  )
  return { inDoubtMs, timeoutMs }
}
