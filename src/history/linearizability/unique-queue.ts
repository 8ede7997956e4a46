// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import { canonical, show } from '../canonical.ts'
import type { Operation } from './operation.ts'
import type { FastAnswer } from './unique-register.ts'

/**
 * A queue whose values are each enqueued once, in a sort (Henzinger, Sezgin and Vafeiadis, "Aspect-oriented
 * linearizability proofs", CONCUR 2013): it is linearizable unless a value is dequeued that was not enqueued before
 * (fresh), or twice (repeat), or out of order, or an empty queue is seen when some value was there all the time
 * (witness).
 */
export function checkUniqueQueue(operations: readonly Operation[]): FastAnswer {
  const numbers = new Map<string, number>()
  const enqueueOf: number[] = []
  const dequeueOf: number[] = []
  const empties: number[] = []
  for (let i = 0; i < operations.length; i++) {
    const { f, input, known } = operations[i]!
    if (f === 'dequeue') {
      // One that may have taken any value is for the search.
      if (!known) return undefined
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
    const { f, output, completedAt } = operations[i]!
    if (f !== 'dequeue') continue
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
  return outOfOrder(operations, enqueueOf, dequeueOf) ?? seenEmpty(operations, enqueueOf, dequeueOf, empties)
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
