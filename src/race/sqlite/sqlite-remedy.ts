import type { Anomaly } from '../anomaly.ts'

const IMMEDIATE =
  'BEGIN IMMEDIATE before the first read, so that writers take turns (SQLite has no row locks)'

/** What removes a race on SQLite, whose transactions are serializable: it is one that spans statements of none. */
export function sqliteRemedy(anomaly: Anomaly): string {
  switch (anomaly) {
    case 'deadlock':
      return 'ordered locking: let every task begin its transactions on the files in the same order, or run it again on SQLITE_BUSY'
    case 'check-then-insert':
      return `a unique constraint with INSERT … ON CONFLICT, or ${IMMEDIATE}`
    case 'phantom':
      return `${IMMEDIATE}, or one INSERT … SELECT … WHERE that counts and inserts`
    default:
      return `${IMMEDIATE}, or one statement that reads and writes`
  }
}
