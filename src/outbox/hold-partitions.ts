import type { Log } from '../core/log.ts'
import type { Store } from '../store/store.ts'
import type { PartitionLease } from './partition.ts'

export interface PartitionHolding {
  readonly ready: Promise<void>
  stop(): Promise<void>
}

export function holdPartitions(
  _store: Store,
  options: {
    readonly scope: string
    readonly count: number
    readonly owner: string
    readonly ttlMs: number
    readonly log: Log
    readonly onHeld: (id: number, lease: PartitionLease) => void
  },
): PartitionHolding {
  const { signal } = new AbortController()
  for (let id = 0; id < options.count; id++) options.onHeld(id, { epoch: 0n, isHeld: () => true, signal })
  return { ready: Promise.resolve(), stop: async () => {} }
}
