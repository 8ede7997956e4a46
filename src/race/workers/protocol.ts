/** What the search and a worker tell each other. */
import type { ErrorReport } from '../error-report.ts'
import type { RaceOptions } from '../race.ts'
import type { RemedyResult } from '../remedy/remedy.ts'
import type { RaceReport } from '../report.ts'
import type { Ran, SerialOutcome, Unit } from '../unit.ts'
import type { PgRedirect } from './redirect-pg.ts'
import type { SqliteRedirect } from './redirect-sqlite.ts'

export type Redirect = ({ readonly kind: 'pg' } & PgRedirect) | ({ readonly kind: 'sqlite' } & SqliteRedirect)

/** The first message to a worker. */
export interface WorkerStart {
  /** The address of the file that exports the race. */
  readonly module: string
  readonly race: string
  /** Those of a race that is explored without workers. */
  readonly options: RaceOptions
  readonly redirect: Redirect
}

export type ToWorker =
  | { readonly kind: 'start'; readonly start: WorkerStart }
  | { readonly kind: 'run'; readonly unit: Unit }
  | { readonly kind: 'know'; readonly serial: readonly SerialOutcome[] }
  | { readonly kind: 'remedies'; readonly report: RaceReport }

/** Each message but `know` is answered, in order. */
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'ran'; readonly ran: Ran }
  | { readonly kind: 'remedies'; readonly remedies: readonly RemedyResult[] }
  | { readonly kind: 'failed'; readonly error: ErrorReport }
