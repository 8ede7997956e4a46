import { accessOf } from '../anomaly.ts'
import type { Step } from '../task.ts'

/** How a task uses transactions, as far as one schedule shows. */
export interface TaskFacts {
  readonly task: string
  /** Statements outside of any transaction, each of which commits by itself. */
  readonly alone: number
  readonly transactions: number
  /** True when it can be begun again after a failure: nothing of it stands before its last COMMIT. */
  readonly restartable: boolean
}

const BEGINS = /^(begin|start\s+transaction)\b/i
const ENDS = /^(commit|end|rollback|abort)\b(?!\s+(to|prepared)\b)/i

/** Pure. */
export function factsOf(task: string, steps: readonly Step[]): TaskFacts {
  let [open, alone, transactions, commits] = [false, 0, 0, 0]
  for (const step of steps) {
    if (step.task !== task || step.kind !== 'statement') continue
    const { before, after } = step.with ?? {}
    if (BEGINS.test(before ?? step.text)) {
      open = true
      transactions += 1
    } else if (!open && !ENDS.test(step.text)) {
      alone += 1
      if (writes(step)) commits += 1
    }
    if (ENDS.test(after ?? step.text)) {
      open = false
      commits += 1
    }
  }
  return { task, alone, transactions, restartable: commits <= 1 }
}

export function writes(step: Step): boolean {
  const kind = accessOf(step)?.kind
  return kind !== undefined && kind !== 'read'
}
