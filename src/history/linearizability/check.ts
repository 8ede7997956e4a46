import { canonical } from '../../core/canonical.ts'
import { show } from '../show.ts'
import type { Anomaly, InvolvedOperation, LongestPrefix, Verdict } from '../verdict.ts'
import { UnknownOperationError } from './errors.ts'
import { checkGrowOnlySet } from './grow-only-set.ts'
import { endOfLongestPrefix } from './longest-prefix.ts'
import type { Model } from './model.ts'
import { type LinearizableModel, linearizableModel } from './models.ts'
import { observedOnly, showObserved } from './observed.ts'
import type { Operation } from './operation.ts'
import { search } from './search.ts'
import { stackFault } from './stack-faults.ts'
import { checkUniqueQueue } from './unique-queue.ts'
import { checkUniqueRegister, type FastAnswer, type FastFailure } from './unique-register.ts'

export interface CheckLinearizableOptions {
  /** One of the names, or a model of your own. */
  readonly model: LinearizableModel | Model
  /** The value of an object that nobody wrote yet, for registers and `kv`. Default `null`. */
  readonly initial?: unknown
  /** True when time is up: the answer is then `unknown`, unless something was found already. */
  readonly expired?: () => boolean
  /** Configurations that the search may hold at once. Default 4 million, about 100 MB. */
  readonly configurationsMax?: number
  /** How operations are named: `line 12` (default) or `operation 12`. */
  readonly unit?: string
  /** False takes the general search also where a faster way exists. Default true. */
  readonly fast?: boolean
}

export interface LinearizabilityVerdict extends Verdict {
  /** Objects that were checked, each for itself. */
  readonly objects: number
}

const ANOMALIES_MAX = 16
const INVOLVED_MAX = 24
/** Configurations of a search whose answer is known: it only tells how far the history is right. */
const FOR_A_PREFIX = 100_000

/**
 * Is the history linearizable: does each operation seem to take effect at one moment between its invocation and its
 * answer? Objects that do not depend on each other (keys) are checked each for itself, which is enough (Herlihy and
 * Wing 1990, theorem 1).
 *
 * Guarantee: `valid` is proved by an order that exists, `invalid` by there being none; otherwise `unknown`.
 */
export function checkLinearizable(
  operations: readonly Operation[],
  options: CheckLinearizableOptions,
): LinearizabilityVerdict {
  const started = performance.now()
  const named = typeof options.model === 'string' ? options.model : undefined
  const model =
    typeof options.model === 'string' ? linearizableModel(options.model, options.initial) : options.model
  checkNames(operations, model)
  const parts = partition(operations, model, named)
  const anomalies: Anomaly[] = []
  let reason: string | undefined
  for (const part of parts.values()) {
    const found = checkPart(part.operations, model, named, options)
    if (typeof found === 'string') reason ??= found
    else if (found !== null) {
      anomalies.push(
        part.name === undefined ? found : { ...found, explanation: `Key ${part.name}: ${found.explanation}` },
      )
      // Nothing changes the verdict any more, and no more are shown.
      if (anomalies.length === ANOMALIES_MAX) break
    }
    if (options.expired?.() === true) {
      if (anomalies.length === 0) reason ??= 'time is up'
      break
    }
  }
  const verdict = anomalies.length > 0 ? 'invalid' : reason !== undefined ? 'unknown' : 'valid'
  return {
    verdict,
    model: model.name,
    operations: operations.length,
    objects: parts.size,
    anomalies,
    ...(verdict === 'unknown' && reason !== undefined ? { reason } : {}),
    seconds: (performance.now() - started) / 1000,
  }
}

/** Operations that the model does not know. Nothing was checked. */
function checkNames(operations: readonly Operation[], model: Model): void {
  if (model.operations === undefined) return
  let last: string | undefined
  for (const { f, invokedLine } of operations) {
    if (f === last) continue
    last = f
    if (!model.operations.includes(f)) throw new UnknownOperationError(f, model, invokedLine)
  }
}

interface Part {
  readonly name: string | undefined
  readonly operations: readonly Operation[]
}

function partition(
  operations: readonly Operation[],
  model: Model,
  named: LinearizableModel | undefined,
): Map<unknown, Part> {
  const parts = new Map<unknown, Part>()
  if (
    named !== undefined &&
    named !== 'set' &&
    operations.every((o) => o.key === undefined || o.key === null)
  ) {
    return parts.set(null, { name: undefined, operations })
  }
  // A set without whole reads is one small object per element.
  const elementwise = named === 'set' && operations.every((o) => o.f !== 'read')
  for (const operation of operations) {
    const own = model.partition?.(operation)
    const name = own ?? operation.key
    const key =
      typeof name === 'string' || typeof name === 'number'
        ? elementwise
          ? `${typeof name} ${name} ${canonical(operation.input)}`
          : name
        : elementwise
          ? `${canonical(name)} ${canonical(operation.input)}`
          : name === undefined || name === null
            ? null
            : canonical(name)
    let part = parts.get(key)
    if (part === undefined) {
      part = { name: name === undefined || name === null ? undefined : show(name), operations: [] }
      parts.set(key, part)
    }
    ;(part.operations as Operation[]).push(operation)
  }
  return parts
}

/** What is wrong, `null` when nothing is, or the reason why nobody knows. */
function checkPart(
  operations: readonly Operation[],
  model: Model,
  named: LinearizableModel | undefined,
  options: CheckLinearizableOptions,
): Anomaly | null | string {
  const fast = options.fast === false ? undefined : fastAnswer(operations, named, options.initial)
  if (fast === null) return null
  if (fast !== undefined) return explainFast(operations, fast, named, options)
  const observed =
    named === 'kv' || named === 'register' || named === 'cas-register'
      ? observedOnly(model, operations)
      : model
  const fault =
    fast === undefined && named === 'stack' && options.fast !== false ? stackFault(operations) : undefined
  const { configurationsMax = fault && FOR_A_PREFIX } = options
  const result = search(operations, observed, { expired: options.expired, configurationsMax })
  if (result.kind === 'linearizable') return null
  if (result.kind === 'gave-up') {
    return fault === undefined ? result.reason : explainFast(operations, fault, named, options)
  }
  return explainStuck(operations, result.operation, result.states, options.unit ?? 'line')
}

function explainFast(
  operations: readonly Operation[],
  { explanation, operations: involved }: FastFailure,
  named: LinearizableModel | undefined,
  options: CheckLinearizableOptions,
): Anomaly {
  const unit = options.unit ?? 'line'
  const end = endOfLongestPrefix(operations, involved, (prefix) => {
    const answer = options.expired?.() === true ? undefined : fastAnswer(prefix, named, options.initial)
    return answer === undefined ? undefined : answer === null
  })
  const prefix = end === undefined ? undefined : prefixBefore(operations, end, unit)
  const about =
    prefix === undefined
      ? ''
      : ` The longest linearizable prefix ends just before the answer of ${describe(operations[end as number] as Operation, unit)}, with ${counted(prefix.operations)} ended.`
  return {
    type: 'nonlinearizable',
    explanation: `${describe(operations[involved[0] as number] as Operation, unit)}: ${explanation}${about}`,
    operations: involved.map((i) => involve(operations[i] as Operation, unit)),
    ...(prefix && { prefix }),
  }
}

function prefixBefore(operations: readonly Operation[], index: number, unit: string): LongestPrefix {
  const end = operations[index] as Operation
  return {
    before: involve(end, unit),
    operations: operations.filter((o) => o.completedAt < end.completedAt).length,
  }
}

function counted(count: number): string {
  return `${count} operation${count === 1 ? '' : 's'}`
}

function fastAnswer(
  operations: readonly Operation[],
  named: LinearizableModel | undefined,
  initial: unknown,
): FastAnswer {
  switch (named) {
    case 'register':
    case 'cas-register':
      return checkUniqueRegister(operations, initial, 'read', 'write')
    case 'kv':
      return operations.some((o) => o.f === 'get' || o.f === 'put')
        ? checkUniqueRegister(operations, initial, 'get', 'put')
        : checkUniqueRegister(operations, initial, 'read', 'write')
    case 'queue':
      return checkUniqueQueue(operations)
    case 'set':
      return checkGrowOnlySet(operations)
    default:
      return undefined
  }
}

function explainStuck(
  operations: readonly Operation[],
  index: number,
  states: readonly unknown[],
  unit: string,
): Anomaly {
  const stuck = operations[index] as Operation
  const ended = operations.filter((o) => o.completedAt < stuck.completedAt)
  const open = operations.filter(
    (o) => o !== stuck && o.invokedAt < stuck.completedAt && o.completedAt > stuck.completedAt,
  )
  const before = [...ended].sort((a, b) => b.completedAt - a.completedAt).slice(0, INVOLVED_MAX / 2)
  const held = [...new Set(states.map((s) => showState(s)))]
  const could =
    held.length === 0
      ? ''
      : ` In every such order the state there is ${new Intl.ListFormat('en', { type: 'disjunction' }).format(held)}.`
  const prefix =
    ended.length === 0
      ? 'no operation had ended by then, and none of those under way explains it'
      : `what had ended by then (${counted(ended.length)}) has an order that the model allows, with it there is none`
  return {
    type: 'nonlinearizable',
    explanation: `${describe(stuck, unit)} has no place. The longest linearizable prefix ends just before that answer: ${prefix}.${could}`,
    operations: [stuck, ...before.reverse(), ...open.slice(0, INVOLVED_MAX / 2)].map((o) => involve(o, unit)),
    prefix: prefixBefore(operations, index, unit),
  }
}

function showState(state: unknown): string {
  return showObserved(state, (s) => show(s instanceof Set ? [...s].map((e) => JSON.parse(e)) : s))
}

/** `read of process 3 (lines 4 to 9), which answered 2`. */
function describe(operation: Operation, unit: string): string {
  const { process, invokedLine, completedLine, known } = operation
  const where = known ? `${unit}s ${invokedLine} to ${completedLine}` : `from ${unit} ${invokedLine}`
  return `${showOperation(operation)} of process ${process} (${where})`
}

function showOperation({ f, input, output, known }: Operation): string {
  const asked = input === undefined || input === null ? f : `${f} ${show(input)}`
  if (!known) return `${asked} → ?`
  if (output === input || output === undefined || canonical(output) === canonical(input)) {
    return input === null || input === undefined ? `${f} → nil` : asked
  }
  return `${asked} → ${show(output)}`
}

function involve(operation: Operation, unit: string): InvolvedOperation {
  return {
    name: `${unit} ${operation.invokedLine}`,
    session: String(operation.process),
    status: operation.known ? 'ok' : 'info',
    operations: [showOperation(operation)],
    invokedAt: operation.invokedAt,
    ...(operation.known ? { completedAt: operation.completedAt } : {}),
  }
}
