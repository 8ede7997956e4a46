// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import { show } from '../show.ts'
import type { Operation } from './operation.ts'
import type { FastAnswer } from './unique-register.ts'
import { Numbers, sortedBy } from './unique-values.ts'

/** The values of a queue, each put in once, by their numbers. Positions are those in the history. */
interface Values {
  readonly count: number
  /** Indices of operations; -1 in `dequeueOf` where nobody took the value. */
  readonly enqueueOf: Int32Array
  readonly dequeueOf: Int32Array
  /** Of the enqueue. `putIn` is infinite when it got no answer. */
  readonly sent: Float64Array
  readonly putIn: Float64Array
  /** Of the dequeue: when it was sent and answered; infinite when there is none. */
  readonly takenFrom: Float64Array
  readonly takenBy: Float64Array
}

/** An answer that the queue was empty: between which positions that was seen. */
interface Empty {
  readonly operation: number
  from: number
  readonly until: number
}

/**
 * A queue whose values are each enqueued once, in a sort (Henzinger, Sezgin and Vafeiadis, "Aspect-oriented
 * linearizability proofs", CONCUR 2013): it is linearizable unless a value is dequeued that was not enqueued before
 * (fresh), or twice (repeat), or out of order, or an empty queue is seen when some value was there all the time
 * (witness).
 *
 * A dequeue without an answer may have taken one of the values that no other took. Which of them had to go, and until when,
 * follows from the rest; each needs such a dequeue of its own that was sent by then. What remains open after that, an empty
 * queue that several of them together hide, is for the search.
 *
 * Steps of a drain take effect one after the other, and so did the enqueues of what they took. Since all steps have the bounds
 * of the drain, that says no more than `keepSteps` looks at: any other knot through two steps has a shorter one through one.
 *
 * Without `ordered` it is a queue that keeps no order: all of this but the order.
 */
export function checkUniqueQueue(
  operations: readonly Operation[],
  { ordered }: { readonly ordered: boolean } = { ordered: true },
): FastAnswer {
  const many = operations.length
  const numbers = new Numbers(many)
  const enqueueOf = new Int32Array(many)
  const unanswered: number[] = []
  let count = 0
  for (let i = 0; i < many; i++) {
    const { f, input, known } = operations[i]!
    if (f === 'dequeue') {
      if (!known) unanswered.push(i)
      continue
    }
    if (f !== 'enqueue' || input === null || input === undefined) return undefined
    if (!numbers.add(input, count)) return undefined
    enqueueOf[count++] = i
  }
  const values: Values = {
    count,
    enqueueOf,
    dequeueOf: new Int32Array(count).fill(-1),
    sent: new Float64Array(count),
    putIn: new Float64Array(count),
    takenFrom: new Float64Array(count).fill(Number.POSITIVE_INFINITY),
    takenBy: new Float64Array(count).fill(Number.POSITIVE_INFINITY),
  }
  for (let v = 0; v < count; v++) {
    const { invokedAt, completedAt } = operations[enqueueOf[v]!]!
    values.sent[v] = invokedAt
    values.putIn[v] = completedAt
  }
  const empties: Empty[] = []
  let steps = false
  for (let i = 0; i < many; i++) {
    const operation = operations[i]!
    const { f, output, known } = operation
    if (f !== 'dequeue' || !known) continue
    steps ||= operation.after !== undefined
    if (output === null || output === undefined) {
      empties.push({ operation: i, from: operation.invokedAt, until: operation.completedAt })
      continue
    }
    const v = numbers.of(output)
    if (v < 0) return { explanation: `It took ${show(output)}, which nobody put in.`, operations: [i] }
    if (operation.completedAt < values.sent[v]!) {
      return {
        explanation: `It took ${show(output)} before that was put in.`,
        operations: [i, enqueueOf[v]!],
      }
    }
    if (values.dequeueOf[v]! >= 0) {
      return {
        explanation: `${show(output)} was taken twice.`,
        operations: [enqueueOf[v]!, values.dequeueOf[v]!, i],
      }
    }
    take(values, v, i, operation)
  }
  const inverted = steps ? keepSteps(operations, values, { empties, ordered }) : null
  if (inverted !== null) return inverted
  const needed = unanswered.length === 0 || assign(operations, values, { empties, unanswered, ordered })
  const wrong = ordered ? outOfOrder(operations, values) : null
  if (wrong !== null) return wrong
  const hidden = seenEmpty(operations, values, empties)
  return hidden !== null && unanswered.length > 0 && needed ? undefined : hidden
}

function take(values: Values, v: number, i: number, { invokedAt, completedAt }: Operation): void {
  values.dequeueOf[v] = i
  values.takenFrom[v] = invokedAt
  values.takenBy[v] = completedAt
}

/**
 * What steps of one drain took was put in in that order; and the queue that it found empty at the end was so after the last of
 * it had been sent. Says so when the enqueues leave no room for that order, and moves the beginning of that empty answer.
 */
function keepSteps(
  operations: readonly Operation[],
  values: Values,
  { empties, ordered }: { readonly empties: readonly Empty[]; readonly ordered: boolean },
): FastAnswer {
  const { sent, putIn, dequeueOf, enqueueOf } = values
  const takenBy = new Int32Array(operations.length).fill(-1)
  for (let v = 0; v < values.count; v++) if (dequeueOf[v]! >= 0) takenBy[dequeueOf[v]!] = v
  const endOf = new Map(empties.map((empty) => [empty.operation, empty]))
  let latest = -1 // of what the drain took so far, the value that was sent last
  for (let i = 0; i < operations.length; i++) {
    const v = takenBy[i]!
    if (operations[i]!.after === undefined) latest = v
    else if (v < 0) {
      const end = endOf.get(i)!
      end.from = Math.max(end.from, sent[latest]!)
    } else if (ordered && putIn[v]! < sent[latest]!) {
      const [first, second] = [latest, v].map((value) => show(operations[enqueueOf[value]!]!.input))
      return {
        explanation: `It took ${first} before ${second}, but ${second} was put in first.`,
        operations: [i, enqueueOf[v]!, enqueueOf[latest]!],
      }
    } else if (sent[v]! > sent[latest]!) latest = v
  }
  return null
}

/**
 * Lets dequeues without an answer take what had to go, the most urgent first. False when there are not enough of them: then
 * the history is wrong, whatever they took.
 */
function assign(
  operations: readonly Operation[],
  values: Values,
  {
    empties,
    unanswered,
    ordered,
  }: {
    readonly empties: readonly Empty[]
    readonly unanswered: readonly number[]
    readonly ordered: boolean
  },
): boolean {
  // Whoever was put in before `from` had gone by `until`: the next value was taken, or the queue was empty.
  const gone: { from: number; until: number }[] = empties.map(({ from, until }) => ({ from, until }))
  const left: { value: number; from: number; until: number }[] = []
  for (let v = 0; v < values.count; v++) {
    if (values.dequeueOf[v]! >= 0) {
      if (ordered) gone.push({ from: values.sent[v]!, until: values.takenBy[v]! })
    } else if (values.putIn[v] !== Number.POSITIVE_INFINITY)
      left.push({ value: v, from: values.putIn[v]!, until: Number.POSITIVE_INFINITY })
  }
  gone.sort((a, b) => b.from - a.from)
  left.sort((a, b) => b.from - a.from)
  let next = 0
  let earliest = Number.POSITIVE_INFINITY
  for (const one of left) {
    while (next < gone.length && gone[next]!.from > one.from)
      earliest = Math.min(earliest, gone[next++]!.until)
    one.until = earliest
  }
  const urgent = left
    .filter(({ until }) => until !== Number.POSITIVE_INFINITY)
    .sort((a, b) => a.until - b.until)
  const takers = [...unanswered].sort((a, b) => operations[a]!.invokedAt - operations[b]!.invokedAt)
  for (const [n, { value, until }] of urgent.entries()) {
    const taker = takers[n]
    if (taker === undefined || operations[taker]!.invokedAt > until) return false
    take(values, value, taker, operations[taker]!)
  }
  return true
}

/** a was put in before b, and b was taken before a: a's dequeue began after b's had ended, or there was none. */
function outOfOrder(operations: readonly Operation[], values: Values): FastAnswer {
  const { count, enqueueOf, dequeueOf, sent, putIn, takenFrom, takenBy } = values
  const byAnswer = sortedValues(count, putIn, (v) => putIn[v] !== Number.POSITIVE_INFINITY)
  const byInvocation = sortedValues(count, sent, (v) => dequeueOf[v]! >= 0)
  let next = 0
  let last = -1 // of those surely put in before, the one whose dequeue begins last
  for (const b of byInvocation) {
    while (next < byAnswer.length && putIn[byAnswer[next]!]! < sent[b]!) {
      const a = byAnswer[next++]!
      if (last < 0 || takenFrom[a]! > takenFrom[last]!) last = a
    }
    if (last < 0 || takenFrom[last]! <= takenBy[b]!) continue
    const [first, second] = [
      show(operations[enqueueOf[last]!]!.input),
      show(operations[enqueueOf[b]!]!.input),
    ]
    return {
      explanation:
        dequeueOf[last]! < 0
          ? `${first} was put in before ${second}; ${second} was taken and ${first} never was.`
          : `${first} was put in before ${second}, but ${second} was taken first.`,
      operations: [enqueueOf[last]!, enqueueOf[b]!, dequeueOf[b]!, dequeueOf[last]!].filter((i) => i >= 0),
    }
  }
  return null
}

/** "Empty" was answered although at each moment of the operation some value was surely inside. */
function seenEmpty(operations: readonly Operation[], values: Values, empties: readonly Empty[]): FastAnswer {
  if (empties.length === 0) return null
  const { count, enqueueOf, putIn, takenFrom } = values
  // Spans during which a value is surely inside, as one list of spans that do not meet.
  const inside = sortedValues(count, putIn, (v) => putIn[v]! < takenFrom[v]!)
  const merged: { from: number; to: number; begin: number; end: number }[] = []
  for (const [n, v] of inside.entries()) {
    const last = merged.at(-1)
    if (last !== undefined && putIn[v]! < last.to) {
      last.to = Math.max(last.to, takenFrom[v]!)
      last.end = n + 1
    } else merged.push({ from: putIn[v]!, to: takenFrom[v]!, begin: n, end: n + 1 })
  }
  let s = 0
  for (const { operation, from, until } of [...empties].sort((a, b) => a.from - b.from)) {
    while (s < merged.length && merged[s]!.to < from) s++
    const span = merged[s]
    if (span === undefined || span.from >= from || span.to <= until) continue
    const shown = [...inside.subarray(span.begin, span.end)]
      .filter((v) => takenFrom[v]! > from && putIn[v]! < until)
      .slice(0, 8)
      .map((v) => enqueueOf[v]!)
    return {
      explanation: `It answered that the queue was empty, but at each moment meanwhile ${shown.map((e) => show(operations[e]!.input)).join(' or ')} was inside.`,
      operations: [operation, ...shown],
    }
  }
  return null
}

/** Those values that fulfil the condition, by these keys. */
function sortedValues(count: number, keys: Float64Array, among: (v: number) => boolean): Int32Array {
  const items = new Int32Array(count)
  const itsKeys = new Float64Array(count)
  let many = 0
  for (let v = 0; v < count; v++) {
    if (!among(v)) continue
    items[many] = v
    itsKeys[many++] = keys[v]!
  }
  return sortedBy(items.subarray(0, many), itsKeys.subarray(0, many))
}
