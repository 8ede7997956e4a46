import { randomUUID } from 'node:crypto'
import { throwIfAborted } from '../core/abort.ts'
import { type Backoff, backoffMs } from '../core/backoff.ts'
import { ConfigError } from '../core/errors.ts'
import {
  checkArguments,
  checkOptions,
  isCount,
  isDuration,
  isFunction,
  isList,
  isName,
  isObject,
} from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import type { OwnTransaction, Store } from '../store/index.ts'
import { isIsolation } from '../store/transaction-options.ts'
import { isLate, mayRunAgain, type Part, runTwoPhase } from './coordinator.ts'
import { Forgetter } from './forgetter.ts'
import { newLogId } from './gid.ts'
import {
  checkDecisionFilter,
  type DecisionFilter,
  type DecisionRow,
  findLogId,
  listDecisions,
  pruneDecisions,
} from './log.ts'
import {
  ATTEMPT_OF_MAX,
  checkTakeOver,
  type RecoverOptions,
  type RecoveryOptions,
  type RunOptions,
  resolveRecover,
  resolveTwoPhase,
  type TakeOverOptions,
  type TwoPhaseOptions,
} from './options.ts'
import { type RecoverContext, type RecoveryReport, readShares, recover, type Share } from './recover.ts'
import { type Recovery, startRecovery } from './recovery.ts'
import { checkParticipant, type LogIdentity, openLog } from './setup.ts'

/** One transaction for each store, in their order. */
export type TransactionsOf<Stores extends readonly unknown[]> = { [I in keyof Stores]: OwnTransaction }

/** One log of decisions, with the stores whose transactions it decides. */
export interface TwoPhase extends AsyncDisposable {
  /** Where the decisions stand. It may be among the stores of a transaction, though it has no name of a participant. */
  readonly decisionStore: Store

  /**
   * Runs `work` in a transaction on each of `stores`, and commits all of them or none.
   *
   * Guarantee: when this fulfils, the decision to commit is durable and every participant has committed, or will when it
   * is back (a warning says so). When it rejects, `error.outcome` says what is known; what `work` throws passes through
   * after the rollback. It does not make the commits one instant: a reader may see one store's before the other's.
   * Shape: `work` gets the transactions in the order of `stores`. Bounds: at most `1 + retries` runs within `timeoutMs`.
   * @throws TwoPhaseSetupError before anything began; TwoPhaseAbortedError when recovery decided first;
   * TwoPhaseInDoubtError, outcome `unknown`, when the log went away while the decision was made
   */
  <const Stores extends readonly Store[], Result>(
    stores: Stores,
    work: (transactions: TransactionsOf<Stores>) => Promise<Result>,
    options?: RunOptions,
  ): Promise<Result>

  /**
   * Looks whether the log and each participant can do it. Called by the first transaction too; call it at the start of
   * the process, so that a wrong setting is found there. A participant that is down is looked at when it is first used.
   * @throws TwoPhaseSetupError with the remedies
   */
  check(): Promise<void>

  /**
   * Settles at once, whatever its age, what earlier transactions with this `attemptOf` left prepared in `stores`, so that
   * the next attempt does not wait for their row locks until recovery comes. Commit and abort compete for the decision
   * as ever: an attempt that is only slow, or paused, is told that it was aborted; one that was decided is carried out.
   * Call it before an attempt that may not be the first. It does not tell whether an earlier one was committed.
   */
  takeOver(options: TakeOverOptions): Promise<RecoveryReport>

  /** Settles once what coordinators of this log left behind. */
  recover(options?: RecoverOptions): Promise<RecoveryReport>
  /** Settles it again and again: run it in at least one process. */
  recovery(options?: RecoveryOptions): Recovery

  /** Decisions, oldest first. */
  decisions(filter?: DecisionFilter): Promise<DecisionRow[]>
  /** What participants hold prepared for this log. */
  prepared(options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal }): Promise<{
    readonly shares: readonly Share[]
    readonly unreachable: readonly string[]
  }>

  /** Removes the decisions that are carried out and not removed yet. */
  close(): Promise<void>
}

/** Old decisions are looked for no more often than this. */
const PRUNE_EVERY_MS = 600_000

const RETRY_BACKOFF: Backoff = { baseMs: 4, capMs: 250 }

/**
 * Two-phase commit over several stores, with `log` as the place of the decisions. When `log` is a participant as well,
 * its own commit is the decision, which is how one SQLite store takes part and what saves a PostgreSQL store its prepare.
 * @throws ConfigError for options that cannot work
 */
export function createTwoPhase<const Participants extends Readonly<Record<string, Store>>>(
  log: Store,
  given: TwoPhaseOptions<Participants>,
): TwoPhase {
  checkArguments(
    'createTwoPhase',
    isStore(log),
    isObject('options', given),
    isObject('participants', given?.participants),
  )
  checkArguments('createTwoPhase', ...Object.values(given.participants).map(isStore))
  const options = resolveTwoPhase(given, log, randomUUID)
  const { participants } = given
  const names = new Map(Object.entries(participants).map(([name, store]) => [store, name]))
  const forgetter = new Forgetter(log, options.log)
  const checked = new Set<string>()
  let opening: Promise<LogIdentity> | undefined
  let prunedAtMs = Number.NEGATIVE_INFINITY

  /** Once for all; again after a failure. */
  function identity(): Promise<LogIdentity> {
    opening ??= openLog(log, options.name).catch((error: unknown) => {
      opening = undefined
      throw error
    })
    return opening
  }

  /** For who only looks. A log that is not there is not made: nothing bears an identity that was just drawn. */
  async function knownId(): Promise<string> {
    return opening === undefined ? ((await findLogId(log, options.name)) ?? newLogId()) : (await opening).id
  }

  async function checkParts(parts: readonly Part[]): Promise<void> {
    const unchecked = parts.filter(({ name }) => !checked.has(name))
    await Promise.all(
      unchecked.map(async ({ name, store }) => {
        if (store === log || (await checkParticipant(name, store))) checked.add(name)
      }),
    )
  }

  async function run<const Stores extends readonly Store[], Result>(
    stores: Stores,
    work: (transactions: TransactionsOf<Stores>) => Promise<Result>,
    given: RunOptions = {},
  ): Promise<Result> {
    checkArguments(
      'twoPhase',
      isList('stores', stores),
      isFunction('the work', work),
      isObject('options', given),
    )
    const { isolation, timeoutMs = 30_000, retries = 10, attemptOf, signal } = given
    checkOptions(
      'twoPhase',
      given,
      ['isolation', 'timeoutMs', 'retries', 'attemptOf', 'signal'],
      [
        isolation === undefined || isIsolation(isolation),
        isDuration('timeoutMs', timeoutMs),
        isCount('retries', retries, 0, 1_000),
        attemptOf === undefined || isName('attemptOf', attemptOf, ATTEMPT_OF_MAX),
      ],
    )
    const parts = partsOf(stores)
    throwIfAborted(signal)
    const { clock } = log
    const untilMs = clock.monotonic() + timeoutMs
    await checkParts(parts)
    for (let attempt = 1; ; attempt++) {
      const leftMs = Math.max(1, untilMs - clock.monotonic())
      try {
        return await runTwoPhase(parts, (txs) => work(txs as unknown as TransactionsOf<Stores>), {
          logStore: log,
          identity: await identity(),
          options,
          isolation,
          timeoutMs: leftMs,
          attemptOf,
          signal,
          finished: (id) => forgetter.add(id),
        })
      } catch (error) {
        if (attempt > retries || !mayRunAgain(error) || clock.monotonic() >= untilMs) throw error
        if (isLate(error)) opening = undefined // our clock has jumped, so it is compared anew
        await clock.sleep(backoffMs(attempt, RETRY_BACKOFF, clock), signal)
      }
    }
  }

  function partsOf(stores: readonly Store[]): Part[] {
    // The log prepares nothing, so there is nothing of it that recovery would have to know by a name.
    const parts = stores.map((store) => ({
      store,
      name: names.get(store) ?? (store === log ? '' : undefined),
    }))
    const problems = [
      stores.length > 0 || 'name at least one store',
      new Set(stores).size === stores.length || 'a store is named twice',
      parts.every((part) => part.name !== undefined) ||
        'a store is not among the participants given to createTwoPhase, so recovery would not know it',
    ].filter((p) => p !== true)
    if (problems.length > 0) throw new ConfigError('twoPhase', problems as string[])
    return parts as Part[]
  }

  async function context(given: RecoverOptions, logId?: string): Promise<RecoverContext> {
    const { inDoubtMs, timeoutMs } = resolveRecover(given)
    return {
      logStore: log,
      logId: logId ?? (await identity()).id,
      participants,
      options,
      inDoubtMs,
      timeoutMs,
      attemptOf: undefined,
      signal: given.signal,
    }
  }

  async function takeOver(given: TakeOverOptions): Promise<RecoveryReport> {
    checkTakeOver(given)
    const { stores, attemptOf, ...limits } = given
    checkArguments('takeOver', isList('stores', stores))
    // The log prepares nothing.
    const parts = partsOf(stores).filter(({ store }) => store !== log)
    const own = Object.fromEntries(parts.map(({ name, store }) => [name, store]))
    return recover({ ...(await context({ ...limits, inDoubtMs: 0 })), participants: own, attemptOf })
  }

  async function recoverOnce(given: RecoverOptions = {}): Promise<RecoveryReport> {
    const own = await context(given)
    const report = await recover(own)
    const nowMs = log.clock.monotonic()
    if (nowMs - prunedAtMs >= PRUNE_EVERY_MS) {
      prunedAtMs = nowMs
      await pruneDecisions(log, own.logId, options.windowMs, own)
    }
    return report
  }

  return Object.assign(run, {
    decisionStore: log,
    async check() {
      await identity()
      await checkParts(Object.entries(participants).map(([name, store]) => ({ name, store })))
    },
    takeOver,
    recover: recoverOnce,
    recovery: (given: RecoveryOptions = {}) => startRecovery(log, options, given, recoverOnce),
    async decisions(filter: DecisionFilter = {}) {
      checkDecisionFilter(filter)
      return listDecisions(log, await knownId(), filter)
    },
    async prepared(given: { timeoutMs?: number; signal?: AbortSignal } = {}) {
      resolveRecover(given)
      const { shares, unreachable } = await readShares(await context(given, await knownId()))
      return { shares, unreachable: unreachable.map((u) => u.participant) }
    },
    close: () => forgetter.flush(),
    [Symbol.asyncDispose]: () => forgetter.flush(),
  })
}
