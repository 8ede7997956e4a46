import type { Anomaly } from './anomaly.ts'
import type { Row } from './generated-ids.ts'
import type { Tables } from './outcome.ts'
import type { RaceDatabase } from './race.ts'
import type { Relations } from './relations.ts'
import type { Waits } from './waits.ts'

/** Where the tasks of a race run: one database, its driver intercepted. `end` puts everything back. */
export interface Ground {
  /** For `setup` and `invariant`: a connection of no task. */
  readonly db: RaceDatabase
  /** What removes a race here, in place of what the name of the anomaly says. */
  remedyFor?(anomaly: Anomaly): string
  /** The tables, once the set-up has run. */
  findTables(): Promise<Tables>
  readRows(tables: Tables): Promise<readonly Row[]>
  /** What tells which steps are independent; undefined where nothing does. */
  readRelations?(): Promise<Relations | undefined>
  /** What the scheduler asks of the database in one schedule. */
  waits(blockedAfterMs: number[]): Waits
  /** What runs as a task: its function as it is, or a call of it elsewhere. */
  body(index: number, task: () => unknown): () => unknown
  /** After the last step of a schedule, before the rows are read. */
  settle(): Promise<void>
  end(): Promise<void>
}
