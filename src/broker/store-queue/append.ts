import { failpoint } from '../../core/failpoint.ts'
import type { InsertColumn } from '../../store/dialect.ts'
import { StoreUnavailableError } from '../../store/errors.ts'
import { sql } from '../../store/sql.ts'
import type { OwnTransaction, Transaction } from '../../store/transaction.ts'
import type { Message } from '../broker.ts'

/** A message and the partition that it goes to. */
export interface Placed {
  readonly partitionId: bigint
  readonly message: Message
}

/**
 * Appends messages to their partitions, in three statements whatever their number.
 *
 * Guarantee: offsets of a partition become visible in order and without gaps, because the partition's row is locked
 * until COMMIT; a reader that has seen offset n has every offset below n that it will ever see.
 * Gives the offset after the last message of each partition.
 */
export async function append(
  tx: OwnTransaction,
  placed: readonly Placed[],
): Promise<ReadonlyMap<bigint, bigint>> {
  const ids = [...new Set(placed.map((p) => p.partitionId))]
  const { next, nowMs } = await lockPartitions(tx, ids)
  await tx.execute(
    tx.store.dialect.insertRows(
      tx.store.table('queue_message'),
      COLUMNS,
      placed.map(({ partitionId, message }) => {
        const offset = next.get(partitionId)
        if (offset === undefined) throw new PartitionGoneError()
        next.set(partitionId, offset + 1n)
        return [
          partitionId,
          offset,
          message.id,
          message.key,
          message.payload,
          JSON.stringify(message.headers),
          message.publishedAtMs,
          nowMs,
        ]
      }),
    ),
  )
  await failpoint('store-queue.append.inserted')
  await advance(tx, ids)
  return next
}

/** The rows of the queue's partitions were removed under a running process. */
export class PartitionGoneError extends StoreUnavailableError {
  constructor() {
    super('a partition of the queue is missing; its tables were emptied', 'not-applied')
  }
}

const COLUMNS: readonly InsertColumn[] = [
  { name: 'partition_id', type: 'bigint' },
  { name: 'log_offset', type: 'bigint' },
  { name: 'message_id', type: 'text' },
  { name: 'message_key', type: 'text' },
  { name: 'payload', type: 'text' },
  { name: 'headers', type: 'text' },
  { name: 'published_at_ms', type: 'bigint' },
  { name: 'appended_at_ms', type: 'bigint' },
]

/** In the order of the ids, so that two publishers of the same partitions cannot wait for each other in a circle. */
async function lockPartitions(
  tx: Transaction,
  ids: readonly bigint[],
): Promise<{ next: Map<bigint, bigint>; nowMs: bigint }> {
  const { dialect } = tx.store
  const rows = await tx.query<{ id: string; next_offset: string; now_ms: string }>(
    sql`select id, next_offset, ${dialect.nowMs} as now_ms from ${tx.store.table('queue_partition')} where ${dialect.isOneOf(sql`id`, 'bigint', ids)} order by id${dialect.forUpdate()}`,
  )
  return {
    next: new Map(rows.map((row) => [BigInt(row.id), BigInt(row.next_offset)])),
    nowMs: BigInt(rows[0]?.now_ms ?? 0),
  }
}

/** The text stays the same for any number of partitions, because it reads the new end from the log itself. */
async function advance(tx: Transaction, ids: readonly bigint[]): Promise<void> {
  const partition = tx.store.table('queue_partition')
  const message = tx.store.table('queue_message')
  await tx.execute(
    sql`update ${partition} set next_offset = (select max(log_offset) + 1 from ${message} where partition_id = ${partition}.id) where ${tx.store.dialect.isOneOf(sql`id`, 'bigint', ids)}`,
  )
}
