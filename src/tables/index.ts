import { queueTables } from '../broker/store-queue/tables.ts'
import { effectTables } from '../effects/tables.ts'
import { fenceTables } from '../fence/tables.ts'
import { idTables } from '../id/tables.ts'
import { inboxTables } from '../inbox/tables.ts'
import { leaseTables } from '../lease/tables.ts'
import { lockTables } from '../lock/store/tables.ts'
import { deadLetterTables, outboxTables } from '../outbox/tables.ts'
import { replicaTables } from '../replica/tables.ts'
import { sagaTables } from '../saga/tables.ts'
import type { TableSet } from '../store/migrations.ts'
import { storeTables } from '../store/tables.ts'
import { twoPhaseTables } from '../two-phase/tables.ts'

/**
 * The tables of every part that stores something, in the order in which they are made: what `holdfast migrate` makes,
 * and what an application gives to `migrate(store, allTables)`.
 */
export const allTables: readonly TableSet[] = [
  storeTables,
  leaseTables,
  effectTables,
  fenceTables,
  outboxTables,
  deadLetterTables,
  inboxTables,
  queueTables,
  twoPhaseTables,
  lockTables,
  idTables,
  sagaTables,
  replicaTables,
]

export { migrate, type TableSet } from '../store/migrations.ts'
export {
  deadLetterTables,
  effectTables,
  fenceTables,
  idTables,
  inboxTables,
  leaseTables,
  lockTables,
  outboxTables,
  queueTables,
  replicaTables,
  sagaTables,
  storeTables,
  twoPhaseTables,
}
