import { canonical } from '../../core/canonical.ts'
import {
  checkArguments,
  checkOptions,
  isBoolean,
  isCount,
  isList,
  isObject,
  isText,
  show as shown,
} from '../../core/options.ts'
import { show } from '../show.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'
import type { Anomaly, Verdict } from '../verdict.ts'
import { UnknownOperationError } from './errors.ts'
import { explainFault, explainStuck } from './explain.ts'
import { checkGrowOnlySet } from './grow-only-set.ts'
import { endOfLongestPrefix } from './longest-prefix.ts'
import type { Model } from './model.ts'
import { LINEARIZABLE_MODELS, type LinearizableModel, linearizableModel } from './models.ts'
import { observedOnly } from './observed.ts'
import type { Operation } from './operation.ts'
import { type SearchResult, search } from './search.ts'
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
  checkArguments('checkLinearizable', isList('operations', operations), isObject('options', options))
  checkArguments(
    'checkLinearizable',
    LINEARIZABLE_MODELS.some((name) => name === options.model) ||
      typeof (options.model as Model)?.step === 'function' ||
      `model must be one of ${LINEARIZABLE_MODELS.join(', ')}, or a model of your own, got ${shown(options.model)}`,
  )
  const { configurationsMax, unit, fast } = options
  checkOptions(
    'checkLinearizable',
    options,
    ['model', 'initial', 'expired', 'configurationsMax', 'unit', 'fast'],
    [
      configurationsMax === undefined ||
        isCount('configurationsMax', configurationsMax, 1, Number.MAX_SAFE_INTEGER),
      unit === undefined || isText('unit', unit),
      fast === undefined || isBoolean('fast', fast),
    ],
  )
  const started = performance.now()
  const named = typeof options.model === 'string' ? options.model : undefined
  const model =
    typeof options.model === 'string' ? linearizableModel(options.model, options.initial) : options.model
  checkNames(operations, model)
  checkProblems(operations, model, options.unit ?? 'line')
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

/** @throws MalformedHistoryError for what no object of this kind can be asked or answer */
function checkProblems(operations: readonly Operation[], model: Model, unit: string): void {
  if (model.problem === undefined) return
  for (const operation of operations) {
    const problem = model.problem(operation)
    if (problem === undefined) continue
    const asked = model.problem({ ...operation, known: false }) !== undefined
    throw new MalformedHistoryError(asked ? operation.invokedLine : operation.completedLine, problem, unit)
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
    named !== 'unordered-queue' &&
    operations.every((o) => o.key === undefined || o.key === null)
  ) {
    return parts.set(null, { name: undefined, operations })
  }
  const elementOf = named === undefined ? undefined : elementwise(operations, named)
  for (const operation of operations) {
    const own = model.partition?.(operation)
    const name = own ?? operation.key
    const key =
      typeof name === 'string' || typeof name === 'number'
        ? elementOf
          ? `${typeof name} ${name} ${elementOf(operation)}`
          : name
        : elementOf
          ? `${canonical(name)} ${elementOf(operation)}`
          : name === undefined || name === null
            ? null
            : `\u0000${canonical(name)}` // apart from the text that looks like it
    let part = parts.get(key)
    if (part === undefined) {
      part = { name: name === undefined || name === null ? undefined : show(name), operations: [] }
      parts.set(key, part)
    }
    ;(part.operations as Operation[]).push(operation)
  }
  return parts
}

/**
 * The element that an operation is about, where each is an object of its own: of a set that nobody reads as a whole, and of a
 * queue without order in which each dequeue answered what it took.
 */
function elementwise(
  operations: readonly Operation[],
  named: LinearizableModel,
): ((operation: Operation) => string) | undefined {
  if (named === 'set')
    return operations.every((o) => o.f !== 'read') ? ({ input }) => canonical(input) : undefined
  const telling =
    named === 'unordered-queue' &&
    operations.every(
      ({ f, known, output }) =>
        f === 'enqueue' || (f === 'dequeue' && known && output !== null && output !== undefined),
    )
  return telling ? ({ f, input, output }) => canonical(f === 'enqueue' ? input : output) : undefined
}

/** What is wrong, `null` when nothing is, or the reason why nobody knows. */
function checkPart(
  operations: readonly Operation[],
  model: Model,
  named: LinearizableModel | undefined,
  options: CheckLinearizableOptions,
): Anomaly | null | string {
  const unit = options.unit ?? 'line'
  const steps = model.steps?.(operations, unit) ?? operations
  /** Places among the steps as places of the operations that they are of. */
  const placesOf = (places: readonly number[]): number[] =>
    steps === operations
      ? [...places]
      : [
          ...new Set(
            places.map((i) => steps[i] as Operation).map((step) => operations.indexOf(step.partOf ?? step)),
          ),
        ]
  const holds = (prefix: readonly Operation[]): boolean | undefined => {
    if (options.expired?.() === true) return undefined
    const answer = fastAnswer(model.steps?.(prefix, unit) ?? prefix, named, options.initial)
    return answer === undefined ? undefined : answer === null
  }
  const explained = ({ explanation, operations: places }: FastFailure): Anomaly =>
    explainFault(operations, { explanation, operations: placesOf(places) }, { holds, unit })

  const fast = options.fast === false ? undefined : fastAnswer(steps, named, options.initial)
  if (fast === null) return null
  if (fast !== undefined) return explained(fast)
  const observed =
    named === 'kv' || named === 'register' || named === 'cas-register' ? observedOnly(model, steps) : model
  const fault = named === 'stack' && options.fast !== false ? stackFault(steps) : undefined
  const { configurationsMax = fault && FOR_A_PREFIX } = options
  const result = search(steps, observed, { expired: options.expired, configurationsMax })
  if (result.kind === 'linearizable') return null
  if (result.kind === 'gave-up') return fault === undefined ? result.reason : explained(fault)
  const [stuck] = placesOf([result.operation]) as [number]
  const end = endOfSearched(operations, stuck, (prefix) =>
    search(model.steps?.(prefix, unit) ?? prefix, observed, {
      expired: options.expired,
      configurationsMax: FOR_A_PREFIX,
    }),
  )
  return explainStuck(operations, end ?? stuck, {
    states: end === stuck ? result.states : [],
    endsPrefix: end !== undefined,
    unit,
  })
}

/**
 * Where the longest linearizable prefix ends, of a history in which the search found no place for `stuck`. Until then it had
 * gone well; but the search knows the answers of what was still under way, and without these there may be an order.
 */
function endOfSearched(
  operations: readonly Operation[],
  stuck: number,
  searched: (prefix: readonly Operation[]) => SearchResult,
): number | undefined {
  const { completedAt } = operations[stuck] as Operation
  const underWay = operations.some((o) => o.known && o.invokedAt < completedAt && o.completedAt > completedAt)
  if (!underWay) return stuck
  const holds = (prefix: readonly Operation[]): boolean | undefined => {
    const { kind } = searched(prefix)
    return kind === 'gave-up' ? undefined : kind === 'linearizable'
  }
  return endOfLongestPrefix(operations, [stuck], holds, completedAt)
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
    case 'unordered-queue':
      return checkUniqueQueue(operations, { ordered: false })
    case 'set':
      return checkGrowOnlySet(operations)
    default:
      return undefined
  }
}
