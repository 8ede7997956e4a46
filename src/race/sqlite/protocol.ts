/** What a task's worker and the scheduler tell each other. One word at a time: a worker waits for each answer. */

import type { ErrorReport } from '../error-report.ts'
import type { SqliteRedirect } from '../workers/redirect-sqlite.ts'

/** What of a remedy is put in between a task and its driver. */
export interface TaskTreatment {
  /** All of its statements stand in one transaction, begun so. */
  readonly whole?: string
  /** Every transaction is begun IMMEDIATE. */
  readonly immediate: boolean
  /** It is run again when SQLite refuses it. */
  readonly again: boolean
}

/** Given with the worker. */
export interface WorkerStart {
  readonly module: string
  readonly race: string
  readonly task: string
  readonly index: number
  readonly treatment: TaskTreatment
  /** The file of a worker of the search, in place of the race's own. */
  readonly redirect?: SqliteRedirect | undefined
  /** `[0]` is the signal that the worker waits for inside of a statement. */
  readonly signal: Int32Array
  /** `[0]` is the task's virtual time. */
  readonly virtualMs: Float64Array
}

/** Values of `WorkerStart.signal`; zero is none. */
export const GO = 1
/** The answer is the task's. */
export const CONTINUE = 2
/** The schedule is given up: every statement but ROLLBACK fails. */
export const GIVE_UP = 3

/** From the scheduler while the worker is in no statement. */
export type ToWorker =
  | { readonly kind: 'run'; readonly seed: number }
  /** The timer at this place of the last report fires. */
  | { readonly kind: 'fire'; readonly at: number }
  /** Rolls back what the task left open. */
  | { readonly kind: 'reset' }

export interface TimerReport {
  readonly text: string
  readonly dueMs: number
  readonly again: boolean
}

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly error: ErrorReport }
  | { readonly kind: 'ask'; readonly text: string; readonly values: readonly unknown[] }
  | {
      readonly kind: 'done'
      readonly rows: readonly unknown[]
      readonly rowCount: number | undefined
      readonly error: ErrorReport | undefined
      /** The database is busy, and SQLite would have waited as long as the busy timeout says. */
      readonly busy: boolean
      /** A transaction is open on the handle of the statement. */
      readonly open: boolean
      /** One is open on some handle of the task. */
      readonly holds: boolean
    }
  | {
      readonly kind: 'idle'
      readonly timers: readonly TimerReport[]
      /** `Task.lasting`. */
      readonly lasting: ErrorReport | undefined
    }
  | { readonly kind: 'ended'; readonly value: unknown }
  | { readonly kind: 'threw'; readonly error: ErrorReport }
  | { readonly kind: 'uncontrolled'; readonly error: ErrorReport }
  | { readonly kind: 'reset' }

/** SQLite refused the transaction, and another try may pass. */
export function isRefused(error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown }
  return isBusy(error) || code === 'SQLITE_BUSY_SNAPSHOT' || errcode === 517
}

/** SQLITE_BUSY itself: the file is locked. SQLITE_BUSY_SNAPSHOT is another thing, which no waiting cures. */
export function isBusy(error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown }
  return code === 'SQLITE_BUSY' || errcode === 5
}
