import { backoffMs } from '../core/backoff.ts'
import { deferred } from '../core/deferred.ts'
import { HoldfastError, isHoldfastError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import {
  isRetriable,
  type OwnTransaction,
  type PreparedWork,
  type Sql,
  type Store,
  type Transaction,
} from '../store/index.ts'
import { TwoPhaseAbortedError, TwoPhaseInDoubtError } from './errors.ts'
import { formatGid, newTransactionId } from './gid.ts'
import { type Commit, commitDecision, type Decision, decideAbort, readDecision, saysTooLate } from './log.ts'
import type { ResolvedTwoPhase } from './options.ts'
import { settle } from './promises.ts'
import type { LogIdentity } from './setup.ts'

/** A commit is decided no later than this after the transaction's own time has passed, by the log's clock. */
export const DECIDE_LATE_MS = 60_000

/** How often, and how long each time, the log is asked for a decision that got no answer. */
const ASK_TRIES = 4
const ASK_MS = 5_000

export interface Part {
  readonly name: string
  readonly store: Store
}

export interface RunContext {
  readonly logStore: Store
  readonly identity: LogIdentity
  readonly options: ResolvedTwoPhase
  readonly isolation: 'read-committed' | 'repeatable-read' | 'serializable' | undefined
  readonly timeoutMs: number
  readonly attemptOf: string | undefined
  readonly signal: AbortSignal | undefined
  /** Told when every participant has committed, so that the decision may be forgotten. */
  finished(id: string): void
}

/**
 * One two-phase transaction, once.
 *
 * The participant that is the log itself prepares nothing: the decision is the last statement of its own transaction, so
 * that its COMMIT decides. It commits only when all others have prepared, and they commit only when it has.
 * @throws what `work` throws, and what a database answers, after everything was rolled back
 */
export async function runTwoPhase<Result>(
  parts: readonly Part[],
  work: (txs: readonly OwnTransaction[]) => Promise<Result>,
  context: RunContext,
): Promise<Result> {
  const { logStore, identity, options, isolation, timeoutMs, attemptOf, signal } = context
  const id = newTransactionId(attemptOf)
  const notAfterMs = logStore.clock.now() + identity.clockDifferenceMs + timeoutMs + DECIDE_LATE_MS
  const limits = { timeoutMs, ...(isolation && { isolation }), ...(signal && { signal }) }

  const worked = deferred<void>()
  const allPrepared = deferred<void>()
  const failed = deferred<never>()
  const preparing: { part: Part; running: Promise<PreparedWork<void>> }[] = []
  let deciding: Promise<void> | undefined
  /** The participants that touched something, and so have a share in the decision. */
  const keepers: string[] = []

  const txs: OwnTransaction[] = []
  try {
    // One after the other and in the order of their names: two transactions that each hold the last connection of one
    // pool and wait for one of the other would wait until their time is over.
    for (const part of [...parts].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const arrived = deferred<OwnTransaction>()
      const running = part.store === logStore ? runLast(arrived.resolve) : runPreparing(part, arrived.resolve)
      running.catch((error: unknown) => failed.reject(error))
      if (part.store === logStore) deciding = running as Promise<void>
      else preparing.push({ part, running: running as Promise<PreparedWork<void>> })
      txs[parts.indexOf(part)] = await Promise.race([arrived.promise, failed.promise])
    }
    await failpoint('two-phase.begun')
    const result = await Promise.race([work(txs), failed.promise])
    await failpoint('two-phase.worked')
    worked.resolve()
    const shares = await prepareAll()
    await decide(shares)
    return result
  } catch (error) {
    worked.reject(error)
    allPrepared.reject(error)
    await settle([...preparing.map((p) => p.running), deciding])
    throw error
  }

  function runPreparing(part: Part, arrive: (tx: OwnTransaction) => void): Promise<PreparedWork<void>> {
    const gid = formatGid({ log: identity.id, id, participant: part.name })
    const { prepared } = part.store
    if (prepared === undefined) throw new TypeError(`${part.name} cannot prepare`)
    return prepared.prepare(
      gid,
      async (tx) => {
        arrive(tx)
        await worked.promise
        await failpoint('two-phase.preparing')
      },
      limits,
    )
  }

  function runLast(arrive: (tx: OwnTransaction) => void): Promise<void> {
    return logStore.transaction(
      async (tx) => {
        arrive(tx)
        await worked.promise
        await allPrepared.promise
        await decideCommit(tx)
      },
      { ...limits, retries: 0 },
    )
  }

  /** All prepare at the same time; when one cannot, those that could roll back. */
  async function prepareAll(): Promise<PreparedWork<void>[]> {
    const ends = await Promise.allSettled(preparing.map((p) => p.running))
    const shares = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []))
    const refused = ends.find((end) => end.status === 'rejected')
    try {
      if (refused !== undefined) throw refused.reason
      await failpoint('two-phase.prepared')
      return shares
    } catch (error) {
      allPrepared.reject(error)
      await settle([deciding])
      await giveUp(shares)
      throw error
    }
  }

  async function decide(shares: readonly PreparedWork<void>[]): Promise<void> {
    let hookError: unknown
    try {
      keepers.push(...shares.flatMap((share, i) => (share.kept ? [preparing[i]?.part.name ?? ''] : [])))
      allPrepared.resolve()
      await (deciding ?? decideApart())
    } catch (error) {
      if (codeOf(error) === 'AFTER_COMMIT_FAILED') hookError = error
      else await settleFailedDecision(error, shares)
    }
    await orLeave(shares, 'two-phase.decided')
    await carryOut(shares)
    if (hookError !== undefined) throw hookError
  }

  /** The decision is all there is to the transaction, so it needs no BEGIN and no COMMIT. */
  async function decideApart(): Promise<void> {
    if (keepers.length === 0) return
    await failpoint('two-phase.deciding')
    const bound = { timeoutMs, ...(signal && { signal }) }
    await logStore.autocommit(commitDecision(logStore, { ...row(), notAfterMs }), { urgent: true, ...bound })
  }

  async function decideCommit(tx: OwnTransaction): Promise<void> {
    if (keepers.length === 0) return
    await failpoint('two-phase.deciding')
    tx.beforeCommit(decideLast, { ...row(), notAfterMs })
  }

  function row() {
    return { id, log: identity.id, participants: keepers, decidedBy: options.owner }
  }

  /** What kept the decision to commit from being made, in words of this page where the decision itself was refused. */
  async function whyNot(error: unknown): Promise<unknown> {
    if (saysTooLate(error)) return new TwoPhaseAbortedError(id, 'late')
    if (codeOf(error) !== 'CONSTRAINT_VIOLATED') return error
    const limits = { readOnly: true, timeoutMs: ASK_MS } as const
    const stands = await logStore.transaction((tx) => readDecision(tx, id), limits).catch(() => undefined)
    return stands === 'abort' ? new TwoPhaseAbortedError(id, 'recovery') : error
  }

  /** Returns when the decision turns out to be commit; else rolls back, or leaves all as it is, and throws. */
  async function settleFailedDecision(error: unknown, shares: readonly PreparedWork<void>[]): Promise<void> {
    if (!isUnknown(error)) {
      await giveUp(shares)
      throw await whyNot(error)
    }
    // Nobody else has prepared anything, so there was no decision to write, and there is none to ask for.
    if (keepers.length === 0) throw error
    let decision: Decision
    try {
      decision = await ask()
    } catch (cause) {
      for (const share of shares) share.leave()
      throw new TwoPhaseInDoubtError(id, { cause })
    }
    if (decision === 'commit') return
    await giveUp(shares)
    throw new TwoPhaseAbortedError(id, 'lost')
  }

  /** The opposite decision competes with the one whose answer is missing: whichever stands is the answer. */
  async function ask(): Promise<Decision> {
    const { clock } = logStore
    for (let tries = 1; ; tries++) {
      try {
        return (await decideAbort(logStore, row(), { timeoutMs: ASK_MS })).decision
      } catch (error) {
        if (tries >= ASK_TRIES) throw error
        await clock.sleep(backoffMs(tries, { baseMs: 100, capMs: 2_000 }, clock))
      }
    }
  }

  /** What cannot be committed now stays prepared, with its decision, for recovery. */
  async function carryOut(shares: readonly PreparedWork<void>[]): Promise<void> {
    const ends = await Promise.allSettled(
      shares.map(async (share) => {
        await orLeave([share], 'two-phase.committing')
        await share.commit({ decided: true })
        await failpoint('two-phase.committed')
      }),
    )
    const behind = ends.flatMap((end, i) =>
      end.status === 'rejected' && codeOf(end.reason) !== 'AFTER_COMMIT_FAILED'
        ? [{ participant: preparing[i]?.part.name, error: end.reason as unknown }]
        : [],
    )
    for (const { participant, error } of behind) {
      options.log.warn('a participant has not committed yet; recovery will do it', { id, participant, error })
    }
    if (behind.length === 0 && keepers.length > 0) context.finished(id)
    const hook = ends.find((end) => end.status === 'rejected' && codeOf(end.reason) === 'AFTER_COMMIT_FAILED')
    if (hook?.status === 'rejected') throw hook.reason
  }

  /** No decision was made, and none will be by us: what cannot be rolled back now, recovery aborts by its age. */
  async function giveUp(shares: readonly PreparedWork<void>[]): Promise<void> {
    await orLeave(shares, 'two-phase.giving-up')
    const ends = await Promise.allSettled(shares.map((share) => share.rollback()))
    for (const end of ends) {
      if (end.status === 'rejected')
        options.log.warn('a participant has not rolled back yet; recovery will do it', {
          id,
          error: end.reason,
        })
    }
  }
}

async function decideLast({ store }: Transaction, [commit]: readonly Commit[]): Promise<Sql> {
  return commitDecision(store, commit as Commit)
}

/** A place between two effects. A test that throws here must not cost the pool its connections. */
async function orLeave(shares: readonly PreparedWork<void>[], place: string): Promise<void> {
  try {
    await failpoint(place)
  } catch (error) {
    for (const share of shares) share.leave()
    throw error
  }
}

/** Also an abort after COMMIT was sent, which the store reports as CommitUnknownError. */
function isUnknown(error: unknown): boolean {
  return isHoldfastError(error) && error.outcome === 'unknown'
}

function codeOf(error: unknown): string | undefined {
  return error instanceof HoldfastError || isHoldfastError(error) ? error.code : undefined
}

/** True when the log's clock says that it is too late, which while there is time left means that ours has jumped. */
export function isLate(error: unknown): boolean {
  return codeOf(error) === 'TWO_PHASE_ABORTED' && (error as TwoPhaseAbortedError).reason === 'late'
}

/** Whether the whole may run again: a database said so, and nothing was decided. */
export function mayRunAgain(error: unknown): boolean {
  if (isLate(error)) return true
  return isRetriable(error) && !isUnknown(error) && codeOf(error) !== 'AFTER_COMMIT_FAILED'
}
