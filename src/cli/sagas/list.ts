import type { SagaInfo } from '../../saga/operations.ts'
import { printAge } from '../age.ts'
import { alignColumns } from '../text-table.ts'
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
