import type { SagaCounts } from '../../saga/operations.ts'
import { printAge } from '../age.ts'
import { STATES } from './filters.ts'

/** How many there are in each state, the oldest, and what a step takes: one line. */
export function printFigures({ byState, inFlight, stuck, oldestAgeMs, stepMs }: SagaCounts): string {
  const counts = STATES.flatMap((state) => {
    const n = byState[state]
    return n === undefined ? [] : [`${n} ${state}`]
  })
  if (counts.length === 0) return 'no sagas'
  const oldest = inFlight + stuck > 0 ? `, the oldest unfinished is ${printAge(oldestAgeMs)} old` : ''
  return `${counts.join(', ')}${oldest}${printStepMs(stepMs)}`
}

/** What a step takes, as the end of a sentence; nothing where no step is known. */
export function printStepMs(stepMs: SagaCounts['stepMs']): string {
  return stepMs === undefined ? '' : `, a step takes ${printAge(stepMs.p50)} (95 %: ${printAge(stepMs.p95)})`
}
