import type { OwnTransaction, Store } from '../../store/index.ts'
import type { TwoPhase } from '../../two-phase/index.ts'
import type { AttemptContext, Phase } from '../attempt.ts'
import type { TwoPhaseStepOptions } from '../context.ts'
import { barrierOf } from './barrier.ts'
import { commonSpec, perform } from './perform.ts'
import type { Place } from './place.ts'

type Work = (txs: readonly OwnTransaction[], context: AttemptContext) => Promise<unknown>

/**
 * One transaction over several stores. Each attempt is a global transaction of its own, but all of one step compete for
 * one row, which stands in the log beside the decision and commits with it. So at most one of them can ever be decided:
 * one that comes later, after a crash at any place, finds the row with the result and runs nothing; one that was paused
 * finds it when it decides, and rolls back; and one that is prepared and has not decided yet keeps the row locked.
 *
 * What an attempt that died left prepared is decided and ended by the next one, before it begins: the rows it changed are
 * locked until then.
 */
export function callTwoPhase(
  place: Place,
  name: string,
  twoPhase: TwoPhase,
  stores: readonly Store[],
  work: Work,
  options: TwoPhaseStepOptions<readonly Store[], unknown> = {},
): Promise<unknown> {
  return place.begin('step', name, async (call) => {
    const { undo, isolation } = options
    const run = async (phase: Phase, context: AttemptContext, once: Work): Promise<unknown> => {
      const mayNotBeFirst = phase === 'undo' || context.attempt > 1 || place.run.history.mayHaveBegun(call)
      if (mayNotBeFirst) await takeOver(twoPhase, stores, phase, context)
      return decideOnce(twoPhase, stores, { phase, context, isolation }, once)
    }
    return perform(place, call, {
      ...commonSpec(name, options, null),
      phase: 'do',
      attempt: async (context) => ({ value: await run('do', context, work) }),
      undo:
        undo &&
        (async (context, result) => {
          await run('undo', context, async (txs) => {
            await undo(txs, { ...context, input: undefined, result })
          })
          return undefined
        }),
    })
  })
}

/** Of the step, whatever its phase: an undo also meets what its step was slow to commit. */
const attemptOf = ({ saga, step }: AttemptContext): string => `${saga}/${step}`

/**
 * Passes the gate first, so that a stale process that begins an attempt is refused before it aborts its successor's. What
 * cannot be settled now (a participant is down) is left to recovery, and the attempt finds out by itself.
 */
async function takeOver(
  twoPhase: TwoPhase,
  stores: readonly Store[],
  phase: Phase,
  context: AttemptContext,
): Promise<void> {
  const log = twoPhase.decisionStore
  const { saga, step, epoch, signal } = context
  await log.transaction((tx) => barrierOf(log).advance(tx, { saga, step, phase, epoch }), { signal })
  await twoPhase.takeOver({ stores, attemptOf: attemptOf(context), signal })
}

/** The log is a participant of every attempt, since its COMMIT is then the decision; it prepares nothing. */
async function decideOnce(
  twoPhase: TwoPhase,
  stores: readonly Store[],
  {
    phase,
    context,
    isolation,
  }: {
    phase: Phase
    context: AttemptContext
    isolation: TwoPhaseStepOptions<readonly Store[], unknown>['isolation']
  },
  work: Work,
): Promise<unknown> {
  const log = twoPhase.decisionStore
  const withLog = stores.includes(log) ? stores : [...stores, log]
  const { saga, step, epoch, signal } = context
  const outcome = await twoPhase(
    withLog,
    (txs) =>
      barrierOf(log).run(txs[withLog.indexOf(log)] as OwnTransaction, { saga, step, phase, epoch }, () =>
        work(txs.slice(0, stores.length), context),
      ),
    { signal, attemptOf: attemptOf(context), ...(isolation && { isolation }) },
  )
  return outcome.result
}
