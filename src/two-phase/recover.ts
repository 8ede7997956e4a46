import { failpoint } from '../core/failpoint.ts'
import type { PreparedTransaction, Store } from '../store/index.ts'
import { attemptsPrefix, type Gid, gidPrefix, parseGid } from './gid.ts'
import {
  type Decision,
  type DecisionRow,
  decideAbort,
  deleteDecisions,
  listDecisions,
  markFinished,
} from './log.ts'
import type { ResolvedTwoPhase } from './options.ts'

/** Transactions that are settled at the same time, so that one which has to be waited for does not hold up the others. */
const SETTLED_AT_ONCE = 8

export interface RecoveryReport {
  /** Shares that this call committed and rolled back. */
  readonly committed: number
  readonly rolledBack: number
  /** Prepared, without a decision, and too young to be aborted. */
  readonly waiting: number
  /** What is decided and not carried out: the participant, or the log, did not do it now. */
  readonly pending: readonly PendingShare[]
  /** Participants that could not be asked. */
  readonly unreachable: readonly string[]
}

export interface PendingShare {
  readonly id: string
  readonly participant: string
  readonly decision: Decision | undefined
  readonly error: unknown
}

export interface RecoverContext {
  readonly logStore: Store
  readonly logId: string
  readonly participants: Readonly<Record<string, Store>>
  readonly options: ResolvedTwoPhase
  readonly inDoubtMs: number
  readonly timeoutMs: number
  /** Where given, only what was an attempt of that is looked for, and settled. */
  readonly attemptOf: string | undefined
  readonly signal: AbortSignal | undefined
}

/** A prepared transaction of this log, at one participant. */
export interface Share extends Gid {
  readonly gid: string
  readonly ageMs: number
}

/** What each participant holds of this log. Names that belong to no participant of ours are left alone. */
export interface Shares {
  readonly shares: readonly Share[]
  readonly unreachable: readonly { readonly participant: string; readonly error: unknown }[]
}

export async function readShares(context: RecoverContext): Promise<Shares> {
  const { participants, logId, attemptOf, timeoutMs, signal } = context
  const prefix = attemptOf === undefined ? gidPrefix(logId) : attemptsPrefix(logId, attemptOf)
  const limits = { timeoutMs, ...(signal && { signal }) }
  const asked = await Promise.all(
    Object.entries(participants).map(async ([participant, { prepared }]) => {
      if (prepared === undefined) return { participant, found: [] as PreparedTransaction[] }
      try {
        return { participant, found: await prepared.list(prefix, limits) }
      } catch (error) {
        return { participant, error }
      }
    }),
  )
  const shares = asked.flatMap(({ participant, found = [] }) =>
    found.flatMap(({ gid, ageMs }) => {
      const parsed = parseGid(gid)
      // Two participants may be one database: each handles what bears its own name.
      return parsed?.log === logId && parsed.participant === participant ? [{ ...parsed, gid, ageMs }] : []
    }),
  )
  const unreachable = asked.flatMap(({ participant, error }) =>
    error === undefined ? [] : [{ participant, error }],
  )
  return { shares, unreachable }
}

/**
 * Settles what a coordinator has left behind, wherever it died.
 *
 * The unfinished decisions are read before the participants are asked: what a participant holds of them was prepared
 * before that, so a decision none of whose shares is found anywhere is carried out. Any number of recoverers, and the
 * coordinator itself, may do this at once: all act on the one decision, and the second to end a share is told that it is
 * gone.
 */
export async function recover(context: RecoverContext): Promise<RecoveryReport> {
  const { logStore, logId, options, inDoubtMs } = context
  const unfinished = context.attemptOf === undefined ? await listDecisions(logStore, logId, {}, context) : []
  const { shares, unreachable } = await readShares(context)
  await failpoint('two-phase.recover.listed')

  const byId = new Map<string, Share[]>()
  for (const share of shares) byId.set(share.id, [...(byId.get(share.id) ?? []), share])
  const known =
    byId.size === 0
      ? []
      : await listDecisions(
          logStore,
          logId,
          { ids: [...byId.keys()], finished: true, limit: byId.size },
          context,
        )
  const decisions = new Map(known.map((row) => [row.id, row]))

  const counts = { committed: 0, rolledBack: 0, waiting: 0 }
  const pending: PendingShare[] = []
  /** Decided and carried out here. */
  const aborted: string[] = []
  const open = [...byId.entries()]
  const workers = Array.from({ length: Math.min(SETTLED_AT_ONCE, open.length) }, async () => {
    for (let next = open.shift(); next !== undefined; next = open.shift()) await settleOne(...next)
  })
  await Promise.all(workers)

  const behind = new Set(pending.map((p) => p.id))
  const asked = new Set(Object.keys(context.participants))
  for (const { participant } of unreachable) asked.delete(participant)
  const done = unfinished.filter((row) => isCarriedOut(row, asked, behind))
  await markFinished(logStore, [...done.map((row) => row.id), ...aborted], context)
  for (const row of unfinished) {
    for (const participant of row.participants.filter((name) => !asked.has(name))) {
      const error = unreachable.find((u) => u.participant === participant)?.error
      pending.push({ id: row.id, participant, decision: row.decision, error })
    }
  }
  return { ...counts, pending, unreachable: unreachable.map((u) => u.participant) }

  /** Ends every share of one transaction as the log says, after it has been made to say something. */
  async function settleOne(id: string, own: readonly Share[]): Promise<void> {
    let decision = decisions.get(id)?.decision
    let first = false
    if (decision === undefined) {
      if (own.every((share) => share.ageMs < inDoubtMs)) {
        counts.waiting += own.length
        return
      }
      try {
        const made = await decideAbort(
          logStore,
          { id, log: logId, participants: own.map((s) => s.participant), decidedBy: options.owner },
          context,
        )
        decision = made.decision
        first = made.first
        await failpoint('two-phase.recover.decided')
      } catch (error) {
        // Its coordinator may be about to commit its decision, and stopped there. Others do not wait for it.
        for (const { participant } of own) pending.push({ id, participant, decision: undefined, error })
        return
      }
    }
    const ended = await Promise.all(own.map((share) => endShare(share, decision)))
    // A list that was read too early: the coordinator had ended it all before we decided, so there was nothing to decide.
    // A share that its coordinator prepares only now finds this decision too: finished ones are read as well.
    if (first && ended.every((end) => end !== 'failed')) aborted.push(id)
    if (first && ended.every((end) => end === 'absent')) await deleteDecisions(logStore, [id], context)
  }

  async function endShare(share: Share, decision: Decision): Promise<'done' | 'absent' | 'failed'> {
    const { prepared } = context.participants[share.participant] as Store
    const limits = { timeoutMs: context.timeoutMs, ...(context.signal && { signal: context.signal }) }
    try {
      await failpoint('two-phase.recover.ending')
      const end =
        decision === 'commit'
          ? await prepared?.commit(share.gid, limits)
          : await prepared?.rollback(share.gid, limits)
      if (end === 'done') counts[decision === 'commit' ? 'committed' : 'rolledBack'] += 1
      return end ?? 'absent'
    } catch (error) {
      pending.push({ id: share.id, participant: share.participant, decision, error })
      return 'failed'
    }
  }
}

/** Pure. `asked` are the participants that answered, `behind` the transactions that some share is left of. */
export function isCarriedOut(
  { id, participants }: Pick<DecisionRow, 'id' | 'participants'>,
  asked: ReadonlySet<string>,
  behind: ReadonlySet<string>,
): boolean {
  return !behind.has(id) && participants.every((name) => asked.has(name))
}
