// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import { canonical, show } from '../canonical.ts'
import type { Operation } from './operation.ts'
import type { FastAnswer } from './unique-register.ts'

/**
 * A queue whose values are each enqueued once, in a sort (Henzinger, Sezgin and Vafeiadis, "Aspect-oriented
 * linearizability proofs", CONCUR 2013): it is linearizable unless a value is dequeued that was not enqueued before
 * (fresh), or twice (repeat), or out of order, or an empty queue is seen when some value was there all the time
 * (witness).
 *
 * A dequeue without an answer may have taken one of the values that no other took. Which of them had to go, and until when,
 * follows from the rest; each needs such a dequeue of its own that was sent by then. What remains open after that, an empty
 * queue that several of them together hide, is for the search.
 */
export function checkUniqueQueue(operations: readonly Operation[]): FastAnswer {
  const numbers = new Map<string, number>()
  const enqueueOf: number[] = []
  const dequeueOf: number[] = []
  const empties: number[] = []
  const unanswered: number[] = []
  for (let i = 0; i < operations.length; i++) {
    const { f, input, known } = operations[i]!
    if (f === 'dequeue') {
      if (!known) unanswered.push(i)
      continue
    }
    if (f !== 'enqueue' || input === null || input === undefined) return undefined
    const key = canonical(input)
    if (numbers.has(key)) return undefined
    numbers.set(key, enqueueOf.length)
    enqueueOf.push(i)
    dequeueOf.push(-1)
  }
  for (let i = 0; i < operations.length; i++) {
    const { f, output, completedAt, known } = operations[i]!
    if (f !== 'dequeue' || !known) continue
    if (output === null || output === undefined) {
      empties.push(i)
      continue
    }
    const value = numbers.get(canonical(output))
    if (value === undefined) {
      return { explanation: `It took ${show(output)}, which nobody put in.`, operations: [i] }
    }
    const enqueue = enqueueOf[value]!
    if (completedAt < operations[enqueue]!.invokedAt) {
      return { explanation: `It took ${show(output)} before that was put in.`, operations: [i, enqueue] }
    }
    if (dequeueOf[value]! >= 0) {
      return { explanation: `${show(output)} was taken twice.`, operations: [enqueue, dequeueOf[value]!, i] }
    }
    dequeueOf[value] = i
  }
  const needed = unanswered.length === 0 || assign(operations, { enqueueOf, dequeueOf, empties, unanswered })
  const wrong = outOfOrder(operations, enqueueOf, dequeueOf)
  if (wrong !== null) return wrong
  const hidden = seenEmpty(operations, enqueueOf, dequeueOf, empties)
  return hidden !== null && unanswered.length > 0 && needed ? undefined : hidden
}

/**
 * Lets dequeues without an answer take what had to go, the most urgent first, and notes it in `dequeueOf`. False when there
 * are not enough of them: then the history is wrong, whatever they took.
 */
function assign(
  operations: readonly Operation[],
  {
    enqueueOf,
    dequeueOf,
    empties,
    unanswered,
  }: Record<'enqueueOf' | 'dequeueOf' | 'empties' | 'unanswered', number[]>,
): boolean {
  // Whoever was put in before `from` had gone by `until`: the next value was taken, or the queue was empty.
  const gone = [
    ...enqueueOf.flatMap((enqueue, v) =>
      dequeueOf[v]! < 0
        ? []
        : { from: operations[enqueue]!.invokedAt, until: operations[dequeueOf[v]!]!.completedAt },
    ),
    ...empties.map((i) => ({ from: operations[i]!.invokedAt, until: operations[i]!.completedAt })),
  ].sort((a, b) => b.from - a.from)
  const left = enqueueOf
    .flatMap((enqueue, value) =>
      dequeueOf[value]! < 0 && operations[enqueue]!.known
        ? { value, from: operations[enqueue]!.completedAt, until: Number.POSITIVE_INFINITY }
        : [],
    )
    .sort((a, b) => b.from - a.from)
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
    dequeueOf[value] = taker
  }
  return true
}

/** a was put in before b, and b was taken before a: a's dequeue began after b's had ended, or there was none. */
function outOfOrder(
  operations: readonly Operation[],
  enqueueOf: readonly number[],
  dequeueOf: readonly number[],
): FastAnswer {
  const values = enqueueOf.map((_, v) => v)
  const byAnswer = values
    .filter((v) => operations[enqueueOf[v]!]!.known)
    .sort((a, b) => operations[enqueueOf[a]!]!.completedAt - operations[enqueueOf[b]!]!.completedAt)
  const byInvocation = values
    .filter((v) => dequeueOf[v]! >= 0)
    .sort((a, b) => operations[enqueueOf[a]!]!.invokedAt - operations[enqueueOf[b]!]!.invokedAt)
  const takenFrom = (v: number): number =>
    dequeueOf[v]! < 0 ? Number.POSITIVE_INFINITY : operations[dequeueOf[v]!]!.invokedAt
  let next = 0
  let last = -1 // of those surely put in before, the one whose dequeue begins last
  for (const b of byInvocation) {
    const from = operations[enqueueOf[b]!]!.invokedAt
    while (next < byAnswer.length && operations[enqueueOf[byAnswer[next]!]!]!.completedAt < from) {
      const a = byAnswer[next++]!
      if (last < 0 || takenFrom(a) > takenFrom(last)) last = a
    }
    if (last < 0 || takenFrom(last) <= operations[dequeueOf[b]!]!.completedAt) continue
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
function seenEmpty(
  operations: readonly Operation[],
  enqueueOf: readonly number[],
  dequeueOf: readonly number[],
  empties: readonly number[],
): FastAnswer {
  if (empties.length === 0) return null
  // Spans during which a value is surely inside, as one list of spans that do not meet.
  const spans = enqueueOf
    .map((enqueue, v) => ({
      from: operations[enqueue]!.completedAt,
      to: dequeueOf[v]! < 0 ? Number.POSITIVE_INFINITY : operations[dequeueOf[v]!]!.invokedAt,
      value: v,
    }))
    .filter((s) => s.from < s.to)
    .sort((a, b) => a.from - b.from)
  const merged: { from: number; to: number; values: number[] }[] = []
  for (const { from, to, value } of spans) {
    const last = merged.at(-1)
    if (last !== undefined && from < last.to) {
      if (to > last.to) last.to = to
      last.values.push(value)
    } else merged.push({ from, to, values: [value] })
  }
  const byInvocation = [...empties].sort((a, b) => operations[a]!.invokedAt - operations[b]!.invokedAt)
  let s = 0
  for (const i of byInvocation) {
    const { invokedAt, completedAt } = operations[i]!
    while (s < merged.length && merged[s]!.to < invokedAt) s++
    const span = merged[s]
    if (span === undefined || span.from >= invokedAt || span.to <= completedAt) continue
    const inside = span.values
      .filter((v) => {
        const to = dequeueOf[v]! < 0 ? Number.POSITIVE_INFINITY : operations[dequeueOf[v]!]!.invokedAt
        return to > invokedAt && operations[enqueueOf[v]!]!.completedAt < completedAt
      })
      .slice(0, 8)
    return {
      explanation: `It answered that the queue was empty, but at each moment meanwhile ${inside.map((v) => show(operations[enqueueOf[v]!]!.input)).join(' or ')} was inside.`,
      operations: [i, ...inside.map((v) => enqueueOf[v]!)],
    }
  }
  return null
}
