import { backoffMs } from '../core/backoff.ts'
import { failpoint } from '../core/failpoint.ts'
import { type HeldLease, keepLeases, type LeaseKeeper } from '../lease/index.ts'
import type { Store } from '../store/store.ts'
import { releaseInHand } from './claim.ts'
import { partitionsOf, scopeOfGroup } from './entry.ts'
import type { Guard } from './journal-statements.ts'
import type { ResolvedRunner } from './runner-options.ts'

export interface PartitionEvents {
  /** What a former holder had in hand is free, and may be taken up. */
  onOpen(): void
  /** Another runner is to have it: fulfils when nothing of it is in memory any more. */
  onDrain(partition: string): Promise<void>
  onLost(lease: HeldLease): void
  onFailed(error: unknown): void
}

const DRAIN_MS = 5_000
const RETRY = { baseMs: 50, capMs: 2_000 }

export function guardOf({ name, epoch }: HeldLease): Guard {
  return { partition: name, epoch }
}

/** The partitions that one runner holds, and which of them it works on. */
export class Partitions {
  readonly #store: Store
  readonly #options: ResolvedRunner
  readonly #events: PartitionEvents
  readonly #keeper: LeaseKeeper
  readonly #leases = new Map<string, HeldLease>()
  readonly #draining = new Set<string>()
  readonly #halt = new AbortController()
  #next = 0

  constructor(store: Store, options: ResolvedRunner, events: PartitionEvents) {
    this.#store = store
    this.#options = options
    this.#events = events
    const { group, ttlMs, owner, log } = options
    this.#keeper = keepLeases(store, {
      scope: scopeOfGroup(group),
      names: partitionsOf(group),
      ttlMs,
      ...(owner !== undefined && { owner }),
      log,
      drainMs: DRAIN_MS,
      onGained: (lease) => void this.#takeOver(lease),
      onDrain: ({ name }) => {
        this.#draining.add(name)
        return events.onDrain(name)
      },
      onLost: (lease) => {
        if (this.#leases.get(lease.name)?.epoch === lease.epoch) this.#leases.delete(lease.name)
        this.#draining.delete(lease.name)
        events.onLost(lease)
      },
    })
    this.#keeper.done.catch((error: unknown) => events.onFailed(error))
  }

  get count(): number {
    return this.#leases.size
  }

  /** Those whose sagas may be taken up: none after `halt`. */
  open(): HeldLease[] {
    if (this.#halt.signal.aborted) return []
    return [...this.#leases.values()].filter((lease) => this.#isOpen(lease))
  }

  /** The one in which a saga that is started here is to be. */
  pick(): Guard | undefined {
    // The same for a while: the fewer are touched, the fewer leases a commit has to look at.
    const leases = [...this.#leases.values()]
    for (let i = 0; i < leases.length; i++) {
      const at = (this.#next + i) % leases.length
      const lease = leases[at]
      if (lease === undefined || !this.#isOpen(lease)) continue
      this.#next = at
      return guardOf(lease)
    }
    return undefined
  }

  guardOf(partition: string): Guard | undefined {
    const lease = this.#leases.get(partition)
    return lease?.isHeld() ? guardOf(lease) : undefined
  }

  /** True while the partition is held here under this epoch. */
  holds({ partition, epoch }: Guard): boolean {
    const lease = this.#leases.get(partition)
    return lease !== undefined && lease.epoch === epoch && lease.isHeld()
  }

  /** Nothing is taken up in any of them any more. */
  halt(): void {
    this.#halt.abort()
  }

  /** Gives them all back. */
  async release(): Promise<void> {
    this.halt()
    await this.#keeper.stop({ drainMs: 0 })
  }

  #isOpen(lease: HeldLease): boolean {
    return lease.isHeld() && !this.#draining.has(lease.name)
  }

  async #takeOver(lease: HeldLease): Promise<void> {
    for (let failures = 0; !lease.signal.aborted; ) {
      try {
        await failpoint('saga.takeover')
        await releaseInHand(this.#store, [lease.name])
        break
      } catch (error) {
        failures += 1
        const { log } = this.#options
        log.warn('a partition could not be taken over; trying again', { partition: lease.name, error })
        const { clock } = this.#store
        await clock.sleep(backoffMs(failures, RETRY, clock), this.#halt.signal).catch(() => {})
      }
    }
    if (!lease.isHeld() || this.#halt.signal.aborted) return
    this.#leases.set(lease.name, lease)
    this.#events.onOpen()
  }
}
