/** What has to be done for steps that are done: undo them, or confirm them. Neither can be stopped. */
import { failpoint } from '../core/failpoint.ts'
import type { AttemptContext } from './attempt.ts'
import { attempts } from './attempts.ts'
import type { ResolvedPolicy } from './policy.ts'
import type { SagaRun } from './run.ts'

export interface Undo {
  readonly step: string
  /** The place in the order of completion; what is unknown comes after everything that is known. */
  readonly order: number
  readonly branch: string
  readonly phase: 'undo' | 'cancel'
  readonly policy: ResolvedPolicy
  readonly timeoutMs: number
  /** Undoes once. With `written` it has recorded that in a transaction of its own. */
  run(context: AttemptContext): Promise<undefined | 'written'>
}

export interface Confirm {
  readonly step: string
  readonly policy: ResolvedPolicy
  readonly timeoutMs: number
  run(context: AttemptContext): Promise<void>
}

/** Of what can no longer be stopped. */
export const CALM: AbortSignal = new AbortController().signal

/** Confirms the tries; once it has begun, there is no way back. False when it is stuck or laid down. */
export async function confirmAll(run: SagaRun, pivotStep: string): Promise<boolean> {
  if (run.env.dry) return true
  const { confirmed } = run.history
  const open = run.confirms.filter(({ step }) => !confirmed.has(step))
  if (open.length === 0) return true
  if (!run.history.pivotPassed) run.passPivot(pivotStep)
  for (const confirm of open) {
    if (run.mustYield()) return false
    await run.durable()
    const what = { step: confirm.step, phase: 'confirm' } as const
    const tried = await attempts(run, what, { ...confirm, signal: CALM }, (context) => confirm.run(context))
    if (tried.kind === 'failed') {
      run.stuck(confirm.step, 'confirm', tried.error)
      return false
    }
    confirmed.add(confirm.step)
    run.append('confirmed', confirm.step, -1, null)
  }
  return true
}

/** Undoes these steps, the newest first, one after the other. False when one is stuck, or the saga is laid down. */
export async function undoAll(run: SagaRun, undos: readonly Undo[]): Promise<boolean> {
  if (run.env.dry) return true
  const { undone } = run.history
  const open = undos.filter(({ step }) => !undone.has(step)).sort((a, b) => b.order - a.order)
  for (const undo of open) {
    if (undone.has(undo.step)) continue
    if (run.mustYield()) return false
    await run.durable()
    const what = { step: undo.step, phase: undo.phase }
    const tried = await attempts(run, what, { ...undo, signal: CALM }, (context) => undo.run(context))
    if (tried.kind === 'failed') {
      run.stuck(undo.step, undo.phase, tried.error)
      return false
    }
    undone.add(undo.step)
    if (tried.value !== 'written') run.append('undone', undo.step, -1, null)
    await failpoint('saga.undone')
  }
  return true
}
