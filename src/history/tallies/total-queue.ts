import { canonical } from '../../core/canonical.ts'
import { problemOfNothing } from '../linearizability/models.ts'
import type { Operation } from '../linearizability/operation.ts'
import { show } from '../show.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'
import type { Tally } from './check-tally.ts'

interface Value {
  readonly put: Operation[]
  readonly taken: Operation[]
}

/**
 * What goes in must come out: each enqueue that was answered has a dequeue, and nothing is dequeued that nobody enqueued. Order
 * and repetition do not matter. The history must end with the queue drained, or what is left inside counts as lost.
 *
 * A dequeue without an answer may have taken a value, and a drain without one any number.
 */
export const totalQueue: Tally = {
  name: 'total-queue',
  operations: ['enqueue', 'dequeue', 'drain'],
  check(operations, note, unit) {
    const values = new Map<string, Value>()
    const of = (value: unknown): Value => {
      const name = canonical(value)
      let known = values.get(name)
      if (known === undefined) {
        known = { put: [], taken: [] }
        values.set(name, known)
      }
      return known
    }
    let unanswered = 0
    let enqueues = 0
    for (const operation of operations) {
      const { f, input, output, known } = operation
      if (f === 'enqueue') {
        const problem = problemOfNothing(operation)
        if (problem !== undefined) throw new MalformedHistoryError(operation.invokedLine, problem, unit)
        enqueues++
        of(input).put.push(operation)
      } else if (!known) unanswered += f === 'drain' ? Number.POSITIVE_INFINITY : 1
      else if (f === 'drain') for (const value of drained(operation, unit)) of(value).taken.push(operation)
      else if (output !== null && output !== undefined) of(output).taken.push(operation)
    }
    const lost: Value[] = []
    let missing = 0
    let repeated = 0
    for (const value of values.values()) {
      const { put, taken } = value
      if (put.length === 0) {
        note('unexpected', `${shown(value)} came out, which nobody put in.`, taken.slice(0, 4))
        continue
      }
      const answered = put.filter(({ known }) => known).length
      if (answered > taken.length) {
        lost.push(value)
        missing += answered - taken.length
      }
      if (taken.length > put.length) repeated++
    }
    if (missing > unanswered) {
      for (const value of lost) {
        note('lost', `${shown(value)} was put in and never came out.`, [...value.put, ...value.taken])
      }
    }
    if (enqueues === 0) return { unknown: 'nothing was put in' }
    if (missing > 0 && missing <= unanswered) {
      return {
        unknown: `${missing} values did not come out, which dequeues without an answer may have taken`,
      }
    }
    return repeated === 0
      ? {}
      : { remark: `${repeated} values came out more often than they were put in, which total-queue allows` }
  },
}

function shown({ put, taken }: Value): string {
  const [first] = put
  if (first !== undefined) return show(first.input)
  const [out] = taken as [Operation]
  return out.f === 'drain' ? `A value of ${show(out.output)}` : show(out.output)
}

function drained({ output, completedLine }: Operation, unit: string): readonly unknown[] {
  if (Array.isArray(output)) return output
  throw new MalformedHistoryError(
    completedLine,
    'a drain must answer the list of the values that it took',
    unit,
  )
}
