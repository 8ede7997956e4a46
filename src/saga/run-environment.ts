import type { Log } from '../core/log.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import type { Journal } from './journal.ts'
import type { Guard } from './journal-statements.ts'
import type { Ended } from './local.ts'
import type { SagaRun } from './run.ts'

/** What a run needs of its runner. */
export interface RunEnvironment {
  readonly store: Store
  readonly journal: Journal
  readonly guard: Guard
  readonly log: Log
  readonly parkAfterMs: number
  readonly abandonMs: number
  /** Lays the saga down after each step, so that every step is followed by a replay. For tests. */
  readonly alwaysReplay: boolean
  /** Only looks whether the code still fits the history: nothing runs and nothing is written. */
  readonly dry: boolean
  /** The store's clock as far as it is known here. */
  nowMs(): number
  /** Told when the run is over; the saga itself may not be. */
  onOver(run: SagaRun, ended: Ended | undefined): void
  /** Told when nothing of the run needs the processor any more, and when it does again. */
  onIdle(run: SagaRun, idle: boolean): void
  /** Statements that go with the end of the saga, in one transaction with it. */
  besideEnd(run: SagaRun): ((tx: Transaction) => Promise<void>) | undefined
}
