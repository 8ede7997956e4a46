import { Bell } from '../core/background.ts'
import { backoffMs } from '../core/backoff.ts'
import { isForPeople } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import type { SqlValue } from '../store/sql.ts'
import type { Partition } from './partition.ts'
import type { RelayContext } from './relay-context.ts'
import { deleteMessages, findStanding, lockFree, type ReadyRow, type RowPlace } from './relay-statements.ts'
import { TROUBLE_BACKOFF } from './trouble.ts'

/** Rows deleted by one transaction. */
const DELETE_MAX = 5_000

/**
 * Deletes begin at least this far apart, unless a batch of rows waits: each is a COMMIT, and thousands of messages a
 * second then share them. What a crash finds undeleted is sent again.
 */
const DELETE_EVERY_MS = 10

/** How long rows that another transaction has locked are left alone. */
const DELETE_AGAIN_MS = 1_000

/** Bounded, since the rows may be locked by a process that was frozen. */
export const DELETE_OPTIONS = { isolation: 'read-committed', timeoutMs: 2_000 } as const

/** Messages of one partition that the broker stored. */
interface Stored {
  readonly partition: Partition
  readonly rows: readonly RowPlace[]
  /** Some of them were locked by another transaction the last time. */
  readonly contended: boolean
}

const NONE_STUCK: ReadonlySet<string> = new Set()

/** Deletes what the broker stored, beside the reads and publishes, so that a slow COMMIT delays neither. */
export class Deleter {
  readonly #context: RelayContext
  readonly #queue: Stored[] = []
  #running: Promise<void> | undefined
  #waiting = 0
  #nextAtMs = 0
  readonly #enough = new Bell()

  constructor(context: RelayContext) {
    this.#context = context
  }

  /** Leaves `rows` out of the reads from now on, and deletes them soon. */
  add(partition: Partition, rows: readonly ReadyRow[]): void {
    // The places alone, so that payloads are not kept until the delete.
    const places: RowPlace[] = rows.map((row) => ({ partition: row.partition, sequence: row.sequence }))
    for (const { sequence } of places) partition.deleting.add(sequence)
    this.#waiting += places.length
    if (this.#waiting >= this.#context.options.batchSize) this.#enough.ring()
    this.#push({ partition, rows: places, contended: false })
  }

  /** Fulfils when the queue is empty, or when the relay waits no longer. */
  async settled(): Promise<void> {
    await this.#running
  }

  #push(stored: Stored): void {
    this.#queue.push(stored)
    this.#running ??= this.#run()
  }

  /** One transaction deletes all that was stored since the last one began. Never rejects. */
  async #run(): Promise<void> {
    const { store, options, life } = this.#context
    for (let tries = 1; this.#queue.length > 0; ) {
      await this.#gather()
      const batch = this.#nextBatch()
      const rows = batch.length === 1 ? (batch[0] as Stored).rows : batch.flatMap((b) => b.rows)
      let stuck: ReadonlySet<string>
      try {
        stuck = await this.#delete(rows, batch.some((b) => b.contended) || tries > 1)
        await failpoint('outbox.relay.deleted')
      } catch (error) {
        // They stay in hand, so they are not sent again by this relay; after a crash they are, which is the promise.
        if (life.aborted || isForPeople(error)) break
        options.log.warn('the relay could not delete what the broker stored and tries again', { error })
        await this.#pause(backoffMs(tries++, TROUBLE_BACKOFF, store.clock))
        continue
      }
      tries = 1
      this.#queue.splice(0, batch.length)
      for (const stored of batch) this.#deleted(stored, stuck)
      this.#context.bell.ring()
    }
    this.#running = undefined
  }

  /** Waits a moment for more, when the last delete was a moment ago. */
  async #gather(): Promise<void> {
    const { store, options, life } = this.#context
    const waitMs = this.#nextAtMs - store.clock.monotonic()
    if (waitMs > 0 && this.#waiting < options.batchSize && !life.stopping) await this.#enough.wait(waitMs)
    this.#nextAtMs = store.clock.monotonic() + DELETE_EVERY_MS
    this.#waiting = 0
  }

  #nextBatch(): Stored[] {
    let taken = 0
    for (let count = 0; taken < this.#queue.length && count < DELETE_MAX; taken++) {
      count += (this.#queue[taken] as Stored).rows.length
    }
    return this.#queue.slice(0, taken)
  }

  #deleted({ partition, rows, contended }: Stored, stuck: ReadonlySet<string>): void {
    if (!contended) this.#context.counts.inHand -= rows.length
    if (stuck.size === 0) {
      partition.deleted(rows)
      return
    }
    partition.deleted(rows.filter((row) => !stuck.has(String(row.sequence))))
    const left = rows.filter((row) => stuck.has(String(row.sequence)))
    if (left.length > 0) void this.#again({ partition, rows: left, contended: true })
  }

  /** They count no longer as in hand, but are not read again either while this relay holds the partition. */
  async #again(stored: Stored): Promise<void> {
    await this.#pause(DELETE_AGAIN_MS)
    if (this.#context.life.stopping || stored.partition.aborter.signal.aborted) return
    this.#push(stored)
  }

  async #pause(ms: number): Promise<void> {
    const { clock } = this.#context.store
    const endMs = clock.monotonic() + ms
    // Once at least: a store that refuses at once would otherwise keep the event loop from everything else.
    do await clock.sleep(Math.min(50, ms))
    while (!this.#context.life.stopping && clock.monotonic() < endMs)
  }

  /**
   * Deletes the rows and gives the numbers of those that it could not.
   *
   * A process that was frozen in this very transaction, and whose partition this relay took over, keeps its locks on
   * rows that are stored by now a second time. Rather than wait for it, `aroundLocks` leaves them.
   */
  async #delete(rows: readonly RowPlace[], aroundLocks: boolean): Promise<ReadonlySet<string>> {
    const { store, outbox } = this.#context
    return store.transaction(async (tx) => {
      if (!aroundLocks) {
        await tx.execute(deleteMessages(store, outbox.name, rows))
        await failpoint('outbox.relay.deleting')
        return NONE_STUCK
      }
      const free = await tx.query<{ partition: number; sequence: SqlValue }>(
        lockFree(store, outbox.name, rows),
      )
      if (free.length > 0) await tx.execute(deleteMessages(store, outbox.name, free))
      const standing = await tx.query<{ partition: number; sequence: SqlValue }>(
        findStanding(store, outbox.name, rows),
      )
      return new Set(standing.map((row) => String(row.sequence)))
    }, DELETE_OPTIONS)
  }
}
