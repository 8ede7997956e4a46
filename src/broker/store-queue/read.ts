import { sql } from '../../store/sql.ts'
import type { Transaction } from '../../store/transaction.ts'
import type { Message } from '../broker.ts'

/** The end of each partition: the offset that its next message gets. One statement, one index look-up per partition. */
export async function readEnds(
  tx: Transaction,
  partitionIds: readonly bigint[],
): Promise<ReadonlyMap<bigint, bigint>> {
  const rows = await tx.query<{ id: string; next_offset: string }>(
    sql`select id, next_offset from ${tx.store.table('queue_partition')} where ${tx.store.dialect.isOneOf(sql`id`, 'bigint', partitionIds)}`,
  )
  return new Map(rows.map((row) => [BigInt(row.id), BigInt(row.next_offset)]))
}

export interface Range {
  readonly partitionId: bigint
  readonly from: bigint
  readonly limit: number
}

export interface LogEntry {
  readonly offset: bigint
  readonly message: Omit<Message, 'topic'>
}

/** Ranges that one statement reads; bounds the number of distinct statement texts. */
export const RANGES_MAX = 8

/** The first `limit` messages of each range, ascending by offset, in the order of `ranges`. */
export async function readRanges(tx: Transaction, ranges: readonly Range[]): Promise<LogEntry[][]> {
  const table = tx.store.table('queue_message')
  const arms = ranges.map(
    ({ partitionId, from, limit }, i) =>
      sql`select * from (select ${sql.raw(String(i))} as arm, log_offset, message_id, message_key, payload, headers, published_at_ms from ${table} where partition_id = ${partitionId} and log_offset >= ${from} order by log_offset limit ${limit}) as part`,
  )
  const rows = await tx.query<{
    arm: number
    log_offset: string
    message_id: string
    message_key: string | null
    payload: string
    headers: string
    published_at_ms: string
  }>(sql.join(arms, ' union all '))
  const found: LogEntry[][] = ranges.map(() => [])
  for (const row of rows) {
    found[Number(row.arm)]?.push({
      offset: BigInt(row.log_offset),
      message: {
        id: row.message_id,
        key: row.message_key,
        payload: row.payload,
        headers: JSON.parse(row.headers) as Record<string, string>,
        publishedAtMs: Number(row.published_at_ms),
      },
    })
  }
  // UNION ALL promises no order, even where each arm has one.
  for (const entries of found) entries.sort((a, b) => (a.offset < b.offset ? -1 : 1))
  return found
}
