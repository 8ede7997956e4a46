import type { HeldLease } from '../lease/index.ts'
import type { SqlValue } from '../store/sql.ts'
import type { ReadyRow, RowPlace } from './relay-statements.ts'
import { Silences } from './silences.ts'

/** Keys of one partition that may wait for another attempt at a time; past that the whole partition waits. */
export const BLOCKED_KEYS_MAX = 1_000

/**
 * What a relay knows of a partition that it holds. Times are on the monotonic clock.
 *
 * A partition is read again only when the publish of what was read before has settled; that is what keeps the order
 * within it, whatever the order in which transactions commit.
 */
export class Partition {
  readonly id: number
  readonly lease: HeldLease
  /** Fires when the lease is lost or the relay stops without waiting any longer. */
  readonly aborter = new AbortController()
  /** True while messages of it are with the broker or their failure is being recorded. */
  busy = false
  /** There may be messages that have not been read. */
  dirty = true
  /** Reads of it that have begun. */
  reads = 0
  /** True while it is being read. */
  reading = false
  /** Stored by the broker, not yet deleted. */
  readonly deleting = new Set<SqlValue>()
  readonly silences = new Silences()
  #pausedUntilMs = 0
  /** Keys whose first message failed, with the time of its next attempt. */
  readonly #blocked = new Map<string, number>()
  /** Messages without a key that others go before, by their sequence, with the time until when. */
  readonly #avoided = new Map<SqlValue, number>()
  #nextUnblockMs = Number.POSITIVE_INFINITY
  /** Set while it is about to go to another relay: nothing more is read then. */
  #left: (() => void) | undefined

  constructor(id: number, lease: HeldLease) {
    this.id = id
    this.lease = lease
  }

  get blockedKeys(): readonly string[] {
    return this.#blocked.size === 0 ? NONE : [...this.#blocked.keys()]
  }

  /** Rows that the next read leaves out. */
  *exceptSequences(): Iterable<SqlValue> {
    yield* this.deleting
    if (this.#avoided.size > 0) yield* this.#avoided.keys()
  }

  get isLeaving(): boolean {
    return this.#left !== undefined
  }

  get blockedCount(): number {
    return this.#blocked.size
  }

  get nextUnblockMs(): number {
    return this.#nextUnblockMs
  }

  isReadable(nowMs: number): boolean {
    return (
      this.dirty &&
      !this.busy &&
      this.#left === undefined &&
      nowMs >= this.#pausedUntilMs &&
      !this.aborter.signal.aborted
    )
  }

  /** True when nothing of it is known that is not delivered and deleted. */
  isAtRest(nowMs: number): boolean {
    return (
      !this.dirty &&
      !this.busy &&
      !this.reading &&
      this.deleting.size === 0 &&
      this.#blocked.size === 0 &&
      this.#avoided.size === 0 &&
      this.#left === undefined &&
      nowMs >= this.#pausedUntilMs &&
      !this.aborter.signal.aborted &&
      this.lease.isHeld()
    )
  }

  /** Nothing more is read. Fulfils when what is in hand is published and deleted, or the lease is lost. */
  leave(): Promise<void> {
    return new Promise((resolve) => {
      this.#left = resolve
      this.#tellWhenIdle()
    })
  }

  /** The publish that made it busy has settled. */
  landed(): void {
    this.busy = false
    this.#tellWhenIdle()
  }

  deleted(rows: readonly RowPlace[]): void {
    for (const row of rows) this.deleting.delete(row.sequence)
    this.#tellWhenIdle()
  }

  abort(reason: unknown): void {
    this.aborter.abort(reason)
    this.#left?.()
  }

  #tellWhenIdle(): void {
    if (!this.busy && this.deleting.size === 0) this.#left?.()
  }

  block(key: string, untilMs: number): void {
    this.#blocked.set(key, untilMs)
    this.#nextUnblockMs = Math.min(this.#nextUnblockMs, untilMs)
    if (this.#blocked.size >= BLOCKED_KEYS_MAX)
      this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#nextUnblockMs)
  }

  /** Lets others of the partition go before this message. Others of its key still wait for it. */
  avoid(row: ReadyRow, untilMs: number): void {
    if (row.key !== null) {
      this.block(row.key, untilMs)
      return
    }
    this.#avoided.set(row.sequence, untilMs)
    this.#nextUnblockMs = Math.min(this.#nextUnblockMs, untilMs)
  }

  pause(untilMs: number): void {
    this.#pausedUntilMs = untilMs
    this.#nextUnblockMs = Math.min(this.#nextUnblockMs, untilMs)
  }

  /** Lets go of the keys whose time has come. */
  unblock(nowMs: number): void {
    if (nowMs < this.#nextUnblockMs) return
    let next = this.#pausedUntilMs > nowMs ? this.#pausedUntilMs : Number.POSITIVE_INFINITY
    for (const [key, untilMs] of this.#blocked) {
      if (untilMs <= nowMs) this.#blocked.delete(key)
      else next = Math.min(next, untilMs)
    }
    for (const [sequence, untilMs] of this.#avoided) {
      if (untilMs <= nowMs) this.#avoided.delete(sequence)
      else next = Math.min(next, untilMs)
    }
    this.#nextUnblockMs = next
    this.dirty = true
  }

  /**
   * The rows that may go now. A row whose next attempt is not due blocks its key (the attempt was made by a relay that
   * held the partition before), and so the later rows of that key are left out too.
   */
  admit(rows: readonly ReadyRow[], nowMs: number): readonly ReadyRow[] {
    if (!rows.some((row) => row.wait_ms !== null && Number(row.wait_ms) > 0)) return rows
    return rows.filter((row) => {
      if (row.key !== null && this.#blocked.has(row.key)) return false
      const waitMs = row.wait_ms === null ? 0 : Number(row.wait_ms)
      if (waitMs <= 0) return true
      if (row.key !== null) this.block(row.key, nowMs + waitMs)
      return false
    })
  }
}

const NONE: readonly string[] = []
