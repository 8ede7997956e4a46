import { failpoint } from '../../core/failpoint.ts'
import { sql } from '../../store/sql.ts'
import type { Store } from '../../store/store.ts'

export interface RetentionOptions {
  /** What every known group has acknowledged is kept for at least this long. */
  readonly retentionMs: number
  /** What some group has not acknowledged is removed after this long; undefined: never. */
  readonly retentionMaxMs: number | undefined
}

/** Rows that one transaction removes. */
const BATCH = 1_000

/**
 * Removes old messages from the beginning of each partition, one bounded batch per partition, each in a transaction of
 * its own. Gives the number removed; `more` when a batch was full.
 *
 * Safe from several processes at once. A group is known from its first subscription on; a topic without any group
 * keeps everything until `retentionMaxMs`.
 */
export async function sweep(
  store: Store,
  options: RetentionOptions,
  signal: AbortSignal,
): Promise<{ removed: number; more: boolean }> {
  let removed = 0
  let more = false
  for (const candidate of await findCandidates(store, signal)) {
    const count = await removeOld(store, candidate, options, signal)
    removed += count
    more ||= count >= BATCH
  }
  return { removed, more }
}

interface Candidate {
  readonly id: bigint
  readonly first: bigint
  readonly end: bigint
  /** Every known group has acknowledged everything below; the beginning where no group is known. */
  readonly consumed: bigint
}

async function findCandidates(store: Store, signal: AbortSignal): Promise<Candidate[]> {
  const rows = await store.transaction(
    (tx) =>
      tx.query<{ id: string; first_offset: string; next_offset: string; consumed: string | null }>(
        sql`select p.id, p.first_offset, p.next_offset, (select min(c.next_offset) from ${store.table('queue_cursor')} c where c.partition_id = p.id) as consumed from ${store.table('queue_partition')} p where p.first_offset < p.next_offset`,
      ),
    { readOnly: true, signal },
  )
  return rows.map((row) => ({
    id: BigInt(row.id),
    first: BigInt(row.first_offset),
    end: BigInt(row.next_offset),
    consumed: BigInt(row.consumed ?? row.first_offset),
  }))
}

async function removeOld(
  store: Store,
  { id, first, end, consumed }: Candidate,
  { retentionMs, retentionMaxMs }: RetentionOptions,
  signal: AbortSignal,
): Promise<number> {
  const limit = min(end, first + BigInt(BATCH))
  const message = store.table('queue_message')
  const partition = store.table('queue_partition')
  // Where the batch ends: the first message that has to stay, else the end of the batch.
  const mustStay = [
    sql`(log_offset < ${consumed} and appended_at_ms > ${store.dialect.nowMs} - ${retentionMs})`,
    retentionMaxMs === undefined
      ? sql`log_offset >= ${consumed}`
      : sql`(log_offset >= ${consumed} and appended_at_ms > ${store.dialect.nowMs} - ${retentionMaxMs})`,
  ]
  const [row] = await store.transaction(
    (tx) =>
      tx.query<{ stay: string | null }>(
        sql`select min(log_offset) as stay from ${message} where partition_id = ${id} and log_offset >= ${first} and log_offset < ${limit} and (${sql.join(mustStay, ' or ')})`,
      ),
    { readOnly: true, signal },
  )
  const boundary = row?.stay == null ? limit : BigInt(row.stay)
  if (boundary <= first) return 0
  return store.transaction(
    async (tx) => {
      const count = await tx.execute(
        sql`delete from ${message} where partition_id = ${id} and log_offset >= ${first} and log_offset < ${boundary}`,
      )
      await failpoint('store-queue.sweep.deleted')
      // Last, so that publishers of the partition wait for this transaction as briefly as can be.
      await tx.execute(
        sql`update ${partition} set first_offset = ${boundary} where id = ${id} and first_offset < ${boundary}`,
      )
      return count
    },
    { isolation: 'read-committed', signal },
  )
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}
