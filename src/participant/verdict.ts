import { StepConfirmedError, StepNotTriedError, StepUndoneError } from './errors.ts'
import { forwardOf, nameOf, type StepCall, type StepPhase } from './step.ts'
import { decodeRefusal, decodeResult, readStored, UNDONE_MARK } from './stored.ts'

/** The rows that a call inserts where they are missing, its own last: undoing takes the place of what it undoes. */
export function rowsOf(
  phase: StepPhase,
): readonly { readonly phase: StepPhase; readonly result: string | null }[] {
  const own = { phase, result: null }
  return phase === 'undo' || phase === 'cancel'
    ? [{ phase: forwardOf(phase), result: UNDONE_MARK }, own]
    : [own]
}

export type Verdict =
  /** The work is to run, and is told what the forward phase gave. */
  | { readonly kind: 'run'; readonly forward: unknown }
  /** Done before. */
  | { readonly kind: 'repeated'; readonly result: unknown }
  /** There is nothing to undo. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refuse'; readonly error: Error }
  /** The row that stood in the way is gone again: it was removed as too old. Try anew. */
  | { readonly kind: 'again' }

/** True when the inserts alone tell what to do, so that nothing needs to be looked up. */
export function isClear(phase: StepPhase, inserted: ReadonlySet<StepPhase>): Verdict | undefined {
  if (!inserted.has(phase)) return undefined
  if (phase === 'do' || phase === 'try') return { kind: 'run', forward: undefined }
  if (phase !== 'confirm' && inserted.has(forwardOf(phase))) return { kind: 'nothing' }
  return undefined
}

/**
 * What to do with a call, from the rows that it inserted and from those that its step had before. Pure.
 *
 * `found` holds the rows of the step, without those just inserted.
 */
export function judge(
  call: StepCall,
  inserted: ReadonlySet<StepPhase>,
  found: ReadonlyMap<StepPhase, string | null>,
): Verdict {
  const { phase } = call
  const clear = isClear(phase, inserted)
  if (clear !== undefined) return clear
  const own = found.get(phase)
  switch (phase) {
    case 'do':
    case 'try': {
      if (own === undefined) return { kind: 'again' }
      const stored = readStored(own)
      if (stored.kind === 'undone' || found.has(phase === 'do' ? 'undo' : 'cancel')) {
        return { kind: 'refuse', error: new StepUndoneError(nameOf(call)) }
      }
      if (stored.kind === 'refused') return { kind: 'refuse', error: decodeRefusal(stored.text) }
      return { kind: 'repeated', result: decodeResult(stored.text) }
    }
    case 'undo':
    case 'cancel': {
      if (!inserted.has(phase)) return repeated(own)
      if (found.has('confirm')) return { kind: 'refuse', error: new StepConfirmedError(nameOf(call)) }
      const forward = found.get(forwardOf(phase))
      if (forward === undefined) return { kind: 'again' }
      const stored = readStored(forward)
      return stored.kind === 'result'
        ? { kind: 'run', forward: decodeResult(stored.text) }
        : { kind: 'nothing' }
    }
    case 'confirm': {
      if (!inserted.has(phase)) return repeated(own)
      const tried = found.get('try')
      const stored = tried === undefined ? undefined : readStored(tried)
      if (found.has('cancel') || stored?.kind === 'undone') {
        return { kind: 'refuse', error: new StepUndoneError(nameOf(call)) }
      }
      if (stored?.kind !== 'result') return { kind: 'refuse', error: new StepNotTriedError(nameOf(call)) }
      return { kind: 'run', forward: decodeResult(stored.text) }
    }
  }
}

function repeated(own: string | null | undefined): Verdict {
  return own === undefined ? { kind: 'again' } : { kind: 'repeated', result: decodeResult(own) }
}
