import type { SagaCounts, SagaInfo } from '../../saga/operations.ts'
import { printAge } from '../age.ts'
import { alignColumns } from '../text-table.ts'
import { STATES } from './filters.ts'
import { oneLine } from './one-line.ts'

export function printList(sagas: readonly SagaInfo[], nowMs: number): string {
  const rows = sagas.map((saga) => [
    saga.id,
    saga.name,
    saga.state,
    printAge(Math.max(0, nowMs - saga.startedAtMs)),
    oneLine(
      saga.reason ??
        (saga.inHand ? 'in hand' : saga.wakeAtMs === null || saga.endedAtMs !== null ? '' : 'waits'),
    ),
  ])
  return alignColumns([['id', 'saga', 'state', 'age', 'why'], ...rows]).join('\n')
}

/** How many there are in each state, the oldest, and what a step takes: one line. */
export function printFigures({ byState, inFlight, stuck, oldestAgeMs, stepMs }: SagaCounts): string {
  const counts = STATES.flatMap((state) => {
    const n = byState[state]
    return n === undefined ? [] : [`${n} ${state}`]
  })
  if (counts.length === 0) return 'no sagas'
  const oldest = inFlight + stuck > 0 ? `, the oldest unfinished is ${printAge(oldestAgeMs)} old` : ''
  const steps =
    stepMs === undefined ? '' : `, a step takes ${printAge(stepMs.p50)} (95 %: ${printAge(stepMs.p95)})`
  return `${counts.join(', ')}${oldest}${steps}`
}
