import { failpoint } from '../core/failpoint.ts'
import type { SqlValue } from '../store/sql.ts'
import { DELETE_OPTIONS } from './deleter.ts'
import type { PartitionTable } from './partition-table.ts'
import type { RelayContext } from './relay-context.ts'
import { lockLater, moveLater, readLater } from './relay-statements.ts'

/** The longest that a delayed message of another process can be overlooked while others come; else it is the poll's pause. */
export const LATER_POLL_MS = 1_000

/** Delayed messages made ready by one transaction. */
const MOVE_MAX = 500

/** Makes delayed messages ready when their time has come. */
export class LaterMover {
  /** When to look next. On the monotonic clock. */
  nextAtMs = 0
  readonly #context: RelayContext
  readonly #partitions: PartitionTable

  constructor(context: RelayContext, partitions: PartitionTable) {
    this.#context = context
    this.#partitions = partitions
  }

  lookBy(atMs: number): void {
    this.nextAtMs = Math.min(this.nextAtMs, atMs)
  }

  /** Makes what is due ready, and finds out when to look again. */
  async move(): Promise<void> {
    const { store, outbox } = this.#context
    // Before the read: a message that is put aside while it runs asks for an earlier look.
    this.nextAtMs = store.clock.monotonic() + LATER_POLL_MS
    const first = await store.read<{ id: SqlValue; wait_ms: SqlValue }>(
      readLater(store, outbox.name, this.#partitions.ids(), MOVE_MAX),
    )
    const due = first.filter((row) => Number(row.wait_ms) <= 0)
    if (due.length > 0) {
      await this.#makeReady(due.map((row) => row.id))
      await failpoint('outbox.relay.moved')
      this.#partitions.markAll()
    }
    const next = first[due.length]
    const waitMs =
      first.length === MOVE_MAX && next === undefined ? 0 : Number(next?.wait_ms ?? LATER_POLL_MS)
    this.lookBy(store.clock.monotonic() + waitMs)
  }

  async #makeReady(ids: readonly SqlValue[]): Promise<void> {
    const { store } = this.#context
    await store.transaction(async (tx) => {
      const locked = await tx.query<{ id: SqlValue }>(lockLater(store, ids))
      if (locked.length === 0) return
      const [insert, remove] = moveLater(
        store,
        locked.map((row) => row.id),
      )
      await tx.execute(insert)
      await failpoint('outbox.relay.moving')
      await tx.execute(remove)
    }, DELETE_OPTIONS)
  }
}
