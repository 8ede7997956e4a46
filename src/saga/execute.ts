import { failpoint } from '../core/failpoint.ts'
import type { Branch } from './branch.ts'
import { describeThrown, SagaCancelledError, SagaChangedError } from './errors.ts'
import type { Cause } from './history.ts'
import type { SagaRun } from './run.ts'
import { confirmAll, undoAll } from './settle.ts'
import { encodeValue } from './value.ts'

/** A saga whose process died so often in a row, with nothing added, is given to a person. */
const INTERRUPTIONS_MAX = 5

type Settled =
  | { readonly kind: 'returned'; readonly output: unknown }
  | { readonly kind: 'threw'; readonly error: unknown }

/** Runs the saga's code, then what follows from how it ended. Never rejects. */
export async function execute(run: SagaRun, root: Branch, code: () => Promise<unknown>): Promise<void> {
  run.enter()
  try {
    if (!run.env.dry && !prepare(run)) return
    const ended = await runCode(run, code)
    root.close()
    await finish(run, ended)
  } catch (error) {
    if (run.over) return
    run.env.log.error('a saga could not be carried on', { saga: run.id, error })
    run.stuck('', 'do', error)
  }
}

/** False when the saga is not to be run any more. */
function prepare(run: SagaRun): boolean {
  const { row, history } = run
  if (row.interrupted) {
    if (history.interruptions >= INTERRUPTIONS_MAX) {
      const died = `its process died ${history.interruptions + 1} times in a row while it ran`
      run.stuck('', 'do', new Error(died))
      return false
    }
    history.interrupt(run.append('interrupted', '', -1, null).seq)
  }
  if (row.cancel) run.cancel('it was cancelled')
  if (row.deadlineAtMs !== null) run.armDeadline(row.deadlineAtMs)
  return true
}

async function runCode(run: SagaRun, code: () => Promise<unknown>): Promise<Settled> {
  const running = (async (): Promise<Settled> => {
    try {
      return { kind: 'returned', output: await code() }
    } catch (error) {
      return { kind: 'threw', error }
    }
  })()
  const { abort } = run
  const abandoned = new Promise<Settled>((resolve) => {
    const giveUp = (): void => {
      setTimeout(() => resolve({ kind: 'threw', error: run.abort.reason }), run.env.abandonMs * 2).unref()
    }
    if (abort.aborted) giveUp()
    else abort.addEventListener('abort', giveUp, { once: true })
  })
  // The code has this run's own turn: it does not count as a step under way.
  run.leave()
  const settled = await Promise.race([running, abandoned])
  run.enter()
  return settled
}

async function finish(run: SagaRun, ended: Settled): Promise<void> {
  if (run.over) return
  const { history } = run
  if (ended.kind === 'threw' && !history.pivotPassed)
    run.stopSteps(new SagaCancelledError(run.id, 'it failed'))
  await run.quiesce()
  if (run.over) return
  run.settle()
  const left = history.unanswered()
  if (left !== undefined) {
    const what = `${left.kind} "${left.step}"`
    run.codeChanged(new SagaChangedError(run.id, 'the end of the code', what, 'no such call'))
  }
  if (run.over || run.env.dry) return
  const cause = history.turn?.cause ?? run.cancelled
  if (cause !== undefined) return goBack(run, cause)
  const output = ended.kind === 'returned' ? encodeOutput(run.id, ended.output) : ended
  if ('error' in output) {
    if (history.pivotPassed) return run.stuck('', 'do', output.error)
    return goBack(run, { kind: 'failed', error: describeThrown(output.error) })
  }
  if (!(await confirmAll(run, ''))) return
  await run.end({ state: 'completed', output: output.text, reason: null })
}

function encodeOutput(
  id: string,
  output: unknown,
): { readonly text: string | null } | { readonly error: unknown } {
  try {
    return { text: encodeValue(`output of saga "${id}"`, output) }
  } catch (error) {
    return { error }
  }
}

async function goBack(run: SagaRun, cause: Cause): Promise<void> {
  if (run.history.turn === undefined) {
    run.turn({ cause, unknown: [...new Set(run.unknown)] })
    await failpoint('saga.turn')
  }
  if (!(await undoAll(run, run.undos))) return
  const reason = JSON.stringify(cause.error)
  await run.end({ state: cause.kind === 'cancelled' ? 'cancelled' : 'failed', output: null, reason })
}
