import { MalformedHistoryError } from '../transactions/malformed.ts'
import type { Operation } from './operation.ts'

/**
 * The steps of each `drain` of one queue: dequeues of what it answered, in that order, and at the end the dequeue that found
 * the queue empty. They share the drain's invocation and answer, and each takes effect after the one before; what others
 * do may come between them. As in Jepsen (`expand-queue-drain-ops`), with the empty queue at the end, which a drain has seen.
 *
 * A drain without an answer took nobody knows how much: as many dequeues without an answer as values may have been left.
 * One such takes all that later ones could take, so the others add nothing.
 * @throws MalformedHistoryError when the answer is no list of values
 */
export function stepsOfDrains(operations: readonly Operation[], unit: string): readonly Operation[] {
  if (!operations.some(({ f }) => f === 'drain')) return operations
  const steps: Operation[] = []
  let left = 0
  let unanswered: Operation | undefined
  for (const operation of operations) {
    const { f, known, output } = operation
    if (f !== 'drain') steps.push(operation)
    else if (known) steps.push(...stepsOf(operation, unit))
    else if (unanswered === undefined || operation.invokedAt < unanswered.invokedAt) unanswered = operation
    if (f === 'enqueue') left++
    else if (known) left -= f === 'drain' ? (output as unknown[]).length : isNothing(output) ? 0 : 1
  }
  if (unanswered !== undefined) {
    for (; left > 0; left--) steps.push({ ...unanswered, f: 'dequeue', partOf: unanswered })
  }
  return steps
}

function stepsOf(drain: Operation, unit: string): Operation[] {
  if (!Array.isArray(drain.output) || drain.output.some(isNothing)) {
    throw new MalformedHistoryError(
      drain.completedLine,
      'a drain must answer the list of the values that it took, [] when there was none',
      unit,
    )
  }
  let after: Operation | undefined
  return [...drain.output, null].map((output: unknown) => {
    const step: Operation = {
      ...drain,
      f: 'dequeue',
      input: null,
      output,
      partOf: drain,
      ...(after && { after }),
    }
    after = step
    return step
  })
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined
}
