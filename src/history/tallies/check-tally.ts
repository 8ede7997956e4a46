import { canonical } from '../../core/canonical.ts'
import { UnknownOperationError } from '../linearizability/errors.ts'
import { involve } from '../linearizability/explain.ts'
import type { Operation } from '../linearizability/operation.ts'
import { show } from '../show.ts'
import type { Anomaly, Verdict } from '../verdict.ts'
import { causalReverse } from './causal-reverse.ts'
import { setFull } from './set-full.ts'
import { totalQueue } from './total-queue.ts'
import { uniqueIds } from './unique-ids.ts'

/** Models that compare what went in with what came out, as checkers of Jepsen's of these names do. No order is sought. */
export const TALLY_MODELS = ['total-queue', 'set-full', 'unique-ids', 'causal-reverse'] as const
export type TallyModel = (typeof TALLY_MODELS)[number]

/** Notes an anomaly and the operations that show it. */
export type Note = (type: string, explanation: string, involved: readonly Operation[]) => void

export interface Tally {
  readonly name: TallyModel
  readonly operations: readonly string[]
  /**
   * Looks at the operations of one object. Answers why nothing can be said where nothing was noted, or a remark.
   * @throws MalformedHistoryError for an answer that no such object can give
   */
  check(operations: readonly Operation[], note: Note, unit: string): TallyAnswer
}

export interface TallyAnswer {
  readonly unknown?: string
  readonly remark?: string
}

const TALLIES: Readonly<Record<TallyModel, Tally>> = {
  'total-queue': totalQueue,
  'set-full': setFull,
  'unique-ids': uniqueIds,
  'causal-reverse': causalReverse,
}
const EXAMPLES_MAX = 16

/** Checks each key for itself. Failed operations did not happen and are not among the `operations`. */
export function checkTally(
  operations: readonly Operation[],
  { model, unit }: { readonly model: TallyModel; readonly unit: string },
): Omit<Verdict, 'seconds'> {
  const tally = TALLIES[model]
  const anomalies: Anomaly[] = []
  const counts = new Map<string, number>()
  const reasons: TallyAnswer[] = []
  for (const [key, part] of byKey(operations, tally)) {
    const note: Note = (type, explanation, involved) => {
      const count = (counts.get(type) ?? 0) + 1
      counts.set(type, count)
      if (count > EXAMPLES_MAX) return
      anomalies.push({
        type,
        explanation: key === undefined ? explanation : `Key ${key}: ${explanation}`,
        operations: involved.map((operation) => involve(operation, unit)),
      })
    }
    reasons.push(tally.check(part, note, unit))
  }
  const more = [...counts].filter(([, n]) => n > EXAMPLES_MAX).map(([type, n]) => `${n} ${type}`)
  const unknown = reasons.find((reason) => reason.unknown !== undefined)?.unknown
  const verdict = anomalies.length > 0 ? 'invalid' : unknown !== undefined ? 'unknown' : 'valid'
  const reason =
    verdict === 'unknown'
      ? unknown
      : more.length > 0
        ? `the first ${EXAMPLES_MAX} of each kind are listed: ${more.join(', ')}`
        : reasons.find(({ remark }) => remark !== undefined)?.remark
  return {
    verdict,
    model,
    operations: operations.length,
    anomalies,
    ...(reason === undefined ? {} : { reason }),
  }
}

/** @throws UnknownOperationError */
function byKey(operations: readonly Operation[], tally: Tally): [key: string | undefined, Operation[]][] {
  const parts = new Map<string, [string | undefined, Operation[]]>()
  for (const operation of operations) {
    const { f, key, invokedLine } = operation
    if (!tally.operations.includes(f)) throw new UnknownOperationError(f, tally, invokedLine)
    const name = canonical(key)
    const part = parts.get(name)
    if (part !== undefined) part[1].push(operation)
    else parts.set(name, [key === undefined || key === null ? undefined : show(key), [operation]])
  }
  return [...parts.values()]
}
