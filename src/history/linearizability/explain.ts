import { canonical } from '../../core/canonical.ts'
import { show } from '../show.ts'
import type { Anomaly, InvolvedOperation, LongestPrefix } from '../verdict.ts'
import { endOfLongestPrefix } from './longest-prefix.ts'
import { showObserved } from './observed.ts'
import type { Operation } from './operation.ts'
import type { FastFailure } from './unique-register.ts'

const INVOLVED_MAX = 24

/** What is wrong at certain operations, and where the longest linearizable prefix ends, as far as `holds` can tell. */
export function explainFault(
  operations: readonly Operation[],
  { explanation, operations: involved }: FastFailure,
  {
    holds,
    unit,
  }: { readonly holds: (prefix: readonly Operation[]) => boolean | undefined; readonly unit: string },
): Anomaly {
  const end = endOfLongestPrefix(operations, involved, holds)
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

/** The operation that the search found no place for, with those before and beside it. */
export function explainStuck(
  operations: readonly Operation[],
  index: number,
  {
    states,
    endsPrefix,
    unit,
  }: {
    /** That the object can have been in then, where known. */
    readonly states: readonly unknown[]
    /** Whether what had ended before it is known to be the longest linearizable prefix. */
    readonly endsPrefix: boolean
    readonly unit: string
  },
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
  const about =
    ended.length === 0
      ? 'no operation had ended by then, and none of those under way explains it'
      : `what had ended by then (${counted(ended.length)}) has an order that the model allows, with it there is none`
  return {
    type: 'nonlinearizable',
    explanation: `${describe(stuck, unit)} has no place.${endsPrefix ? ` The longest linearizable prefix ends just before that answer: ${about}.` : ''}${could}`,
    operations: [stuck, ...before.reverse(), ...open.slice(0, INVOLVED_MAX / 2)].map((o) => involve(o, unit)),
    ...(endsPrefix ? { prefix: prefixBefore(operations, index, unit) } : {}),
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

/** As data for a verdict. */
export function involve(operation: Operation, unit: string): InvolvedOperation {
  return {
    name: `${unit} ${operation.invokedLine}`,
    session: String(operation.process),
    status: operation.known ? 'ok' : 'info',
    operations: [showOperation(operation)],
    invokedAt: operation.invokedAt,
    ...(operation.known ? { completedAt: operation.completedAt } : {}),
  }
}
