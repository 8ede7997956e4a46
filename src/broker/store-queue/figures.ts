import { sql } from '../../store/sql.ts'
import type { Store } from '../../store/store.ts'

/** How far one group is behind in one topic. */
export interface GroupFigures {
  readonly topic: string
  readonly group: string
  /** Messages that the group has not acknowledged (or whose acknowledgement is not stored yet). */
  readonly backlog: number
  /** Age of the oldest of them on the store's clock, in milliseconds since it was appended; 0 when there is none. */
  readonly oldestAgeMs: number
}

/** One row per known group and topic, in their order. */
export async function readGroupFigures(store: Store): Promise<GroupFigures[]> {
  const partition = store.table('queue_partition')
  const cursor = store.table('queue_cursor')
  const message = store.table('queue_message')
  const rows = await store.transaction(
    (tx) =>
      tx.query<{ topic: string; group_name: string; backlog: string; oldest: string | null; now_ms: string }>(
        sql`select p.topic, c.group_name, sum(p.next_offset - c.next_offset) as backlog, min((select m.appended_at_ms from ${message} m where m.partition_id = p.id and m.log_offset = c.next_offset)) as oldest, ${store.dialect.nowMs} as now_ms from ${cursor} c join ${partition} p on p.id = c.partition_id group by p.topic, c.group_name order by p.topic, c.group_name`,
      ),
    { readOnly: true },
  )
  return rows.map((row) => ({
    topic: row.topic,
    group: row.group_name,
    backlog: Number(row.backlog),
    oldestAgeMs: row.oldest === null ? 0 : Math.max(0, Number(row.now_ms) - Number(row.oldest)),
  }))
}
