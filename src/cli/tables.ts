import { queueTables } from '../broker/store-queue/tables.ts'
import { effectTables } from '../effects/tables.ts'
import { fenceTables } from '../fence/tables.ts'
import { inboxTables } from '../inbox/tables.ts'
import { leaseTables } from '../lease/tables.ts'
import { deadLetterTables, outboxTables } from '../outbox/tables.ts'
import { storeTables, type TableSet } from '../store/index.ts'

/** The tables of every part that stores something, in the order in which they are made. */
export const allTables: readonly TableSet[] = [
  storeTables,
  leaseTables,
  effectTables,
  fenceTables,
  outboxTables,
  deadLetterTables,
  deadLetterTables,
  inboxTables,
  queueTables,
]
