import { failpoint } from '../core/failpoint.ts'
import type { SqlValue } from '../store/sql.ts'
import { cutLarge, fetchLarge, LARGE_BYTES_MAX } from './large-payloads.ts'
import type { Partition } from './partition.ts'
import type { PartitionTable } from './partition-table.ts'
import type { RelayContext } from './relay-context.ts'
import type { ReadyRow, readReady } from './relay-statements.ts'

/** Rows that a read may leave out at no cost worth naming. */
const EXCEPTIONS_FEW = 200

/** What one read found of one partition. */
export interface Chunk {
  readonly partition: Partition
  /** Ascending by sequence, not empty. */
  readonly rows: readonly ReadyRow[]
}

/** Reads what may go next, of several partitions by one statement. One read at a time. */
export class Reader {
  readonly #context: RelayContext
  readonly #partitions: PartitionTable
  readonly #readReady: typeof readReady
  /** Where the next read begins, so that each partition is served first in turn. */
  #turn = 0

  constructor(context: RelayContext, partitions: PartitionTable, read: typeof readReady) {
    this.#context = context
    this.#partitions = partitions
    this.#readReady = read
  }

  async read(): Promise<readonly Chunk[]> {
    const { store, options, outbox, counts } = this.#context
    const served = this.#nextServed(store.clock.monotonic())
    if (served.length === 0) return []
    const exceptSequences: SqlValue[] = []
    const exceptKeys: string[] = []
    for (const partition of served) {
      // Before the read, so that a commit that rings while it runs is not lost.
      partition.dirty = false
      partition.reading = true
      partition.reads++
      for (const sequence of partition.exceptSequences()) exceptSequences.push(sequence)
      exceptKeys.push(...partition.blockedKeys)
    }
    counts.reads++
    let rows: ReadyRow[]
    try {
      const request = {
        name: outbox.name,
        partitions: served.map((p) => p.id),
        limit: options.batchSize,
        exceptSequences,
        exceptKeys,
      }
      rows = await store.read<ReadyRow>(this.#readReady(store, request))
    } catch (error) {
      for (const partition of served) partition.dirty = true
      throw error
    } finally {
      for (const partition of served) partition.reading = false
    }
    await failpoint('outbox.relay.read')
    if (rows.length === 0) {
      counts.emptyReads++
      return []
    }
    if (rows.length >= options.batchSize) this.#markRest(served, rows)
    if (rows.some((row) => row.large_bytes !== null)) rows = await this.#readLarge(served, rows)
    return inOrder(served, byPartition(rows))
  }

  async #readLarge(served: readonly Partition[], found: readonly ReadyRow[]): Promise<ReadyRow[]> {
    const { store, outbox } = this.#context
    const { rows, cut } = cutLarge(found, LARGE_BYTES_MAX)
    for (const partition of served) partition.dirty ||= cut.has(partition.id)
    try {
      return await fetchLarge(store, outbox.name, rows)
    } catch (error) {
      for (const partition of served) partition.dirty = true
      throw error
    }
  }

  /** Those behind the last one that was served, and the last one itself, may have more. */
  #markRest(served: readonly Partition[], rows: readonly ReadyRow[]): void {
    const { lateral } = this.#context.store.dialect
    const last = lateral ? served.findIndex((p) => p.id === rows.at(-1)?.partition) : 0
    for (const partition of served.slice(last)) partition.dirty = true
  }

  #nextServed(nowMs: number): readonly Partition[] {
    const all = [...this.#partitions.all()].filter((p) => p.isReadable(nowMs)).sort((a, b) => a.id - b.id)
    // After large batches, those whose deletes are done come first: they need no exceptions, and the others will be so
    // in a moment.
    const exceptions = all.reduce((sum, p) => sum + p.deleting.size, 0)
    const clean = exceptions <= EXCEPTIONS_FEW ? all : all.filter((p) => p.deleting.size === 0)
    const readable = clean.length > 0 ? clean : all
    if (readable.length <= 1) return readable
    const turn = readable.findIndex((p) => p.id >= this.#turn)
    const first = Math.max(0, turn)
    this.#turn = ((readable[first] as Partition).id + 1) % this.#context.outbox.partitions
    return [...readable.slice(first), ...readable.slice(0, first)]
  }
}

function inOrder(served: readonly Partition[], found: ReadonlyMap<number, ReadyRow[]>): Chunk[] {
  const chunks: Chunk[] = []
  for (const partition of served) {
    const rows = found.get(partition.id)
    if (rows !== undefined) chunks.push({ partition, rows })
  }
  return chunks
}

function byPartition(rows: readonly ReadyRow[]): Map<number, ReadyRow[]> {
  const chunks = new Map<number, ReadyRow[]>()
  let id: number | undefined
  let chunk: ReadyRow[] = []
  for (const row of rows) {
    if (row.partition !== id) {
      id = row.partition
      chunk = chunks.get(id) ?? []
      chunks.set(id, chunk)
    }
    chunk.push(row)
  }
  return chunks
}
