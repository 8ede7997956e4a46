import { deferred } from '../core/deferred.ts'
import type { Log } from '../core/log.ts'
import { type HeldLease, keepLeases, type LeaseKeeper, listLeases } from '../lease/index.ts'
import type { Store } from '../store/store.ts'

export interface HoldPartitionsOptions {
  readonly scope: string
  readonly count: number
  readonly owner: string
  readonly ttlMs: number
  /** False takes every partition that is free, for one drain by hand. */
  readonly share: boolean
  readonly log: Log
  readonly onGained: (id: number, lease: HeldLease) => void
  /** Asked before a partition goes to another relay: fulfil when what is in hand is done. */
  readonly onDrain: (id: number) => Promise<void>
  readonly onLost: (id: number, lease: HeldLease) => void
  /** The leases cannot be kept, and waiting would not mend it. */
  readonly onFailed: (error: unknown) => void
}

export interface PartitionHolding {
  /** Fulfils when every partition is held, by this relay or another. */
  readonly ready: Promise<void>
  stop(): Promise<void>
}

/** Holds a share of an outbox's partitions: one lease each, named by its number. */
export function holdPartitions(store: Store, options: HoldPartitionsOptions): PartitionHolding {
  const { scope, count, owner, ttlMs, share, log } = options
  const looking = new AbortController()
  const allMine = deferred<void>()
  let gained = 0
  const keeper: LeaseKeeper = keepLeases(store, {
    scope,
    names: Array.from({ length: count }, (_, id) => String(id)),
    owner,
    ttlMs,
    // With each renewal: a relay that has nothing to do then costs the store one short transaction for both.
    lookEveryMs: ttlMs / 2,
    share,
    log,
    onGained: (lease) => {
      options.onGained(Number(lease.name), lease)
      if (++gained === count) {
        looking.abort()
        allMine.resolve()
      }
    },
    onDrain: (lease) => options.onDrain(Number(lease.name)),
    onLost: (lease) => {
      gained--
      options.onLost(Number(lease.name), lease)
    },
  })
  keeper.done.catch((error: unknown) => {
    allMine.resolve()
    options.onFailed(error)
  })
  return {
    ready: Promise.race([allMine.promise, allTaken()]),
    async stop() {
      looking.abort()
      allMine.resolve()
      await keeper.stop({ drainMs: 0 })
    },
  }

  /** Looks until no partition is free, which is soon unless this relay alone has everything. */
  async function allTaken(): Promise<void> {
    for (;;) {
      try {
        await store.clock.sleep(LOOK_EVERY_MS, looking.signal)
        const leases = await listLeases(store, { scope, limit: count, signal: looking.signal })
        if (leases.filter((lease) => lease.running).length === count) return
      } catch (error) {
        if (looking.signal.aborted) return await allMine.promise
        log.warn('the leases of the partitions could not be listed', { scope, error })
      }
    }
  }
}

const LOOK_EVERY_MS = 50
