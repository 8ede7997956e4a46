import type { Bell } from '../core/background.ts'
import type { Store } from '../store/store.ts'
import type { ResolvedOutboxOptions } from './outbox-options.ts'
import type { RelayCounts } from './relay-figures.ts'
import type { ResolvedRelayOptions } from './relay-options.ts'
import type { Trouble } from './trouble.ts'

/** What the parts of one relay share. */
export interface RelayContext {
  readonly store: Store
  readonly outbox: ResolvedOutboxOptions
  readonly options: ResolvedRelayOptions
  /** The scope of its leases and the source of its dead letters. */
  readonly source: string
  readonly owner: string
  readonly counts: RelayCounts
  readonly trouble: Trouble
  /** Wakes the loop; rung by each part when something has changed. */
  readonly bell: Bell
  readonly life: RelayLife
}

export interface RelayLife {
  /** Nothing new is begun. */
  stopping: boolean
  /** What is in hand is not waited for any longer. */
  aborted: boolean
}
