/** What is common to all calls that do something once: answer it from the journal, or do it and record it. */
import { failpoint } from '../../core/failpoint.ts'
import { checkOptions, isDuration } from '../../core/options.ts'
import { never } from '../activity.ts'
import type { AttemptContext } from '../attempt.ts'
import { attempts, type Tried } from '../attempts.ts'
import type { UndoContext } from '../context.ts'
import type { Entry } from '../entry.ts'
import { describeThrown, type StepFailedError } from '../errors.ts'
import { policyChecks, type ResolvedPolicy, type RetryPolicy, resolvePolicy } from '../policy.ts'
import { asReplayed, decodeValue, encodeValue, hashOf } from '../value.ts'
import type { Call, Place } from './place.ts'

/** What is done for a step, whatever its kind. */
export interface StepSpec<Result> {
  readonly phase: 'do' | 'try'
  readonly hash: string | null
  readonly policy: ResolvedPolicy
  readonly timeoutMs: number
  readonly pivot?: boolean
  /** True where an effect without an entry cannot be, unless a COMMIT got no answer: `isLost` then says so. */
  readonly isLost?: () => boolean
  /** One attempt. `written` when it recorded the result in a transaction of its own. */
  attempt(context: AttemptContext): Promise<Attempted<Result>> | Attempted<Result>
  /** Undefined where there is nothing to give back. */
  readonly undo:
    | ((context: AttemptContext, result: Result | undefined) => Promise<undefined | 'written'>)
    | undefined
  readonly undoPolicy: ResolvedPolicy
  readonly confirm?: (context: AttemptContext, result: Result) => unknown
}

export interface Attempted<Result> {
  readonly value: Result
  /** The entry, where the attempt's own transaction has written it. */
  readonly written?: Entry
}

interface Recorded extends Attempted<unknown> {
  /** The value as it is recorded. */
  readonly text: string | null
}

export const STEP_TIMEOUT_MS = 60_000
const ATTEMPTS = 5
export const UNDO_ATTEMPTS = 10
/** What is unknown is undone before everything that is known to be done. */
const UNKNOWN_ORDER = Number.MAX_SAFE_INTEGER

const STEP_POLICY = resolvePolicy(undefined, ATTEMPTS)
const UNDO_POLICY = resolvePolicy(undefined, UNDO_ATTEMPTS)

/** The part of a spec that comes from the options which all kinds of step have. */
export function commonSpec(
  name: string,
  options: { readonly retry?: RetryPolicy; readonly undoRetry?: RetryPolicy; readonly timeoutMs?: number },
  input: string | null,
): Pick<StepSpec<unknown>, 'hash' | 'policy' | 'undoPolicy' | 'timeoutMs'> {
  const { retry, undoRetry, timeoutMs = STEP_TIMEOUT_MS } = options
  if (retry !== undefined || undoRetry !== undefined || timeoutMs !== STEP_TIMEOUT_MS) {
    checkOptions(
      `step "${name}"`,
      {},
      [],
      [
        ...policyChecks('retry', retry),
        ...policyChecks('undoRetry', undoRetry),
        isDuration('timeoutMs', timeoutMs),
      ],
    )
  }
  return {
    hash: hashOf(input),
    policy: retry === undefined ? STEP_POLICY : resolvePolicy(retry, ATTEMPTS),
    undoPolicy: undoRetry === undefined ? UNDO_POLICY : resolvePolicy(undoRetry, UNDO_ATTEMPTS),
    timeoutMs,
  }
}

/** @throws StepFailedError when it failed for good; the signal's reason when it was aborted */
export async function perform(place: Place, call: Call, spec: StepSpec<unknown>): Promise<unknown> {
  const { run } = place
  const [recorded] = call.answers
  if (recorded !== undefined) {
    place.compareInput(call, recorded, spec.hash)
    if (run.over || run.changed !== undefined) return never()
    if (recorded.kind === 'failed') throw failed(place, call, spec, recorded)
    return done(place, call, spec, recorded, decodeValue(recorded.data))
  }
  const tried = await tryUntilKnown(place, call, spec)
  if (tried.kind === 'failed') {
    const unknown = spec.isLost === undefined ? tried.unknown : spec.isLost()
    return giveUp(place, call, spec, tried.error, unknown)
  }
  const { value, written, text } = tried.value
  const entry = written ?? run.append('step', call.step, call.pos, text, spec.hash)
  run.begun.delete(call.step)
  if (spec.pivot) {
    run.passPivot(call.step)
    run.endPivot()
  }
  const result = done(place, call, spec, entry, asReplayed(value, text))
  await failpoint('saga.step.recorded')
  return result
}

/** Waits until the step may begin, and tries it. When it is stopped on the way, what may stand is to be undone. */
async function tryUntilKnown(place: Place, call: Call, spec: StepSpec<unknown>): Promise<Tried<Recorded>> {
  const { run } = place
  try {
    if (spec.pivot) await enterPivot(place, call)
    else await run.frontier(place.signal)
    const { policy, timeoutMs } = spec
    const signal = spec.pivot ? run.beginPivot() : place.signal
    const what = { step: call.step, phase: spec.phase, unknown: run.history.mayHaveBegun(call) }
    return await attempts(run, what, { policy, timeoutMs, signal }, async (context) => {
      const attempted = await spec.attempt(context)
      const { written, value } = attempted
      return { ...attempted, text: written === undefined ? encodeResult(call.step, value) : written.data }
    })
  } catch (error) {
    const mayStand = spec.isLost?.() ?? (run.begun.has(call.step) || run.history.mayHaveBegun(call))
    if (mayStand) {
      run.unknown.push(call.step)
      register(place, call, spec, UNKNOWN_ORDER, undefined)
    }
    throw error
  }
}

/** Whether the pivot may have been under way in a crash; then it is finished, whatever came since. */
async function enterPivot({ run, signal }: Place, call: Call): Promise<void> {
  try {
    await run.frontier(signal)
  } catch (error) {
    if (run.history.turn !== undefined || !run.history.mayHaveBegun(call)) throw error
    run.beginPivot()
    await run.durable()
  }
}

function giveUp(
  place: Place,
  call: Call,
  spec: StepSpec<unknown>,
  error: unknown,
  unknown: boolean,
): Promise<never> {
  const { run } = place
  if (place.forward || (spec.pivot && unknown)) {
    run.stuck(call.step, spec.phase, error, { pos: call.pos, hash: spec.hash, unknown })
    return never()
  }
  if (spec.pivot) run.endPivot()
  const data = JSON.stringify({ error: describeThrown(error), unknown })
  const entry = run.append('failed', call.step, call.pos, data, spec.hash)
  run.begun.delete(call.step)
  throw failed(place, call, spec, entry, error)
}

function failed(
  place: Place,
  call: Call,
  spec: StepSpec<unknown>,
  entry: Entry,
  cause?: unknown,
): StepFailedError {
  const { unknown } = JSON.parse(entry.data ?? '{}') as { unknown: boolean }
  if (unknown) register(place, call, spec, entry.seq, undefined)
  return place.failure(call, entry, cause)
}

function done(place: Place, call: Call, spec: StepSpec<unknown>, entry: Entry, result: unknown): unknown {
  place.reach(entry)
  register(place, call, spec, entry.seq, result)
  const { confirm } = spec
  if (confirm !== undefined) {
    place.run.confirms.push({
      step: call.step,
      policy: spec.undoPolicy,
      timeoutMs: spec.timeoutMs,
      run: async (context) => void (await confirm(context, result)),
    })
  }
  return result
}

function register(place: Place, call: Call, spec: StepSpec<unknown>, order: number, result: unknown): void {
  const { undo, undoPolicy, timeoutMs, phase } = spec
  if (undo === undefined) return
  place.run.undos.push({
    step: call.step,
    order,
    branch: place.path,
    phase: phase === 'try' ? 'cancel' : 'undo',
    policy: undoPolicy,
    timeoutMs,
    run: (context) => undo(context, result),
  })
}

/** The step has run, so what does not fit is an error after the effect. */
function encodeResult(step: string, value: unknown): string | null {
  try {
    return encodeValue(`result of step "${step}"`, value)
  } catch (cause) {
    throw Object.assign(new Error((cause as Error).message, { cause }), { final: true, outcome: 'unknown' })
  }
}

export function wrapUndo(
  undo: ((context: UndoContext<never, unknown>) => unknown) | undefined,
  input: unknown,
): StepSpec<unknown>['undo'] {
  if (undo === undefined) return undefined
  return async (context, result) => {
    await undo({ ...context, input: input as never, result })
    return undefined
  }
}
