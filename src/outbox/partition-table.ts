import type { HeldLease } from '../lease/index.ts'
import { holdPartitions, type PartitionHolding } from './hold-partitions.ts'
import { Partition } from './partition.ts'
import type { RelayContext } from './relay-context.ts'

/** The partitions that a relay holds, kept by leases. */
export class PartitionTable {
  readonly #context: RelayContext
  readonly #partitions = new Map<number, Partition>()
  #holding: PartitionHolding | undefined
  #failure: unknown

  constructor(context: RelayContext) {
    this.#context = context
  }

  get size(): number {
    return this.#partitions.size
  }

  get(id: number): Partition | undefined {
    return this.#partitions.get(id)
  }

  /** Ascending. */
  ids(): number[] {
    return [...this.#partitions.keys()].sort((a, b) => a - b)
  }

  all(): IterableIterator<Partition> {
    return this.#partitions.values()
  }

  /** Fulfils when every partition is held, by this relay or another. */
  async ready(): Promise<void> {
    await this.#holding?.ready
  }

  hold(): void {
    const { store, outbox, options, source, owner, bell } = this.#context
    this.#holding = holdPartitions(store, {
      scope: source,
      count: outbox.partitions,
      owner,
      ttlMs: options.ttlMs,
      share: !options.manual,
      log: options.log,
      onGained: (id, lease) => {
        this.#partitions.set(id, new Partition(id, lease))
        bell.ring()
      },
      // The next relay then finds nothing that this one has published.
      onDrain: async (id) => this.#partitions.get(id)?.leave(),
      onLost: (id, lease) => this.#lose(id, lease),
      onFailed: (error) => {
        this.#failure = error
        bell.ring()
      },
    })
  }

  async release(): Promise<void> {
    const holding = this.#holding
    this.#holding = undefined
    await holding?.stop()
  }

  /** @throws what ended the keeping of the leases for good */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Says that these partitions may have messages that have not been read. */
  mark(ids: readonly number[]): void {
    for (const id of ids) {
      const partition = this.#partitions.get(id)
      if (partition !== undefined) partition.dirty = true
    }
  }

  /** True when this relay holds all of these partitions, and goes on doing so; undefined means every one. */
  holds(ids: readonly number[] | undefined): boolean {
    if (ids === undefined && this.#partitions.size < this.#context.outbox.partitions) return false
    return (ids ?? this.ids()).every((id) => this.#partitions.get(id)?.isLeaving === false)
  }

  /** Gives those that were marked before. */
  markAll(): ReadonlySet<Partition> {
    const before = new Set<Partition>()
    for (const partition of this.#partitions.values()) {
      if (partition.dirty) before.add(partition)
      partition.dirty = true
    }
    return before
  }

  unblock(nowMs: number): void {
    for (const partition of this.#partitions.values()) partition.unblock(nowMs)
  }

  abort(reason: unknown): void {
    for (const partition of this.#partitions.values()) partition.abort(reason)
  }

  /** What is being published is not waited for: its rows are the next holder's by now. */
  #lose(id: number, lease: HeldLease): void {
    const partition = this.#partitions.get(id)
    if (partition?.lease !== lease) return
    this.#partitions.delete(id)
    partition.abort(lease.signal.reason)
    this.#context.bell.ring()
  }
}
