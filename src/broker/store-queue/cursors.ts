import { type Sql, type SqlValue, sql } from '../../store/sql.ts'
import type { Store } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction.ts'

/** How far one group is in one partition, as stored. */
export interface Cursor {
  readonly id: bigint
  /** Everything below was acknowledged. */
  readonly next: bigint
  /** Everything below was handed out before. */
  readonly delivered: bigint
}

/**
 * Makes the group known for all partitions of a topic; cursors that exist stay as they are. All of them at once,
 * since retention keeps a message for the groups that have a cursor.
 */
export async function registerGroup(
  store: Store,
  group: string,
  partitionIds: readonly bigint[],
  from: 'earliest' | 'latest',
): Promise<void> {
  const { dialect } = store
  const start = sql.raw(from === 'latest' ? 'p.next_offset' : 'p.first_offset')
  await store.transaction(
    async (tx) => {
      const known = await tx.query(
        sql`select 1 as one from ${store.table('queue_cursor')} where group_name = ${group} and ${dialect.isOneOf(sql`partition_id`, 'bigint', partitionIds)}`,
      )
      if (known.length === partitionIds.length) return
      const starts = await tx.query<{ id: string; start: string }>(
        sql`select p.id, ${start} as start from ${store.table('queue_partition')} p where ${dialect.isOneOf(sql`p.id`, 'bigint', partitionIds)} order by p.id`,
      )
      await tx.execute(
        dialect.insertRows(
          store.table('queue_cursor'),
          [
            { name: 'partition_id', type: 'bigint' },
            { name: 'group_name', type: 'text' },
            { name: 'next_offset', type: 'bigint' },
            { name: 'delivered_offset', type: 'bigint' },
          ],
          starts.map((row) => [row.id, group, row.start, row.start].map(toInteger)),
          { onConflict: 'ignore' },
        ),
      )
    },
    { isolation: 'read-committed' },
  )
}

/** int8 columns arrive as text from `pg`. */
function toInteger(value: string | number, column: number): SqlValue {
  return column === 1 ? value : BigInt(value)
}

export async function readCursor(
  store: Store,
  group: string,
  partitionId: bigint,
): Promise<Cursor | undefined> {
  const [row] = await store.transaction(
    (tx) =>
      tx.query<{ id: string; next_offset: string; delivered_offset: string }>(
        sql`select id, next_offset, delivered_offset from ${store.table('queue_cursor')} where partition_id = ${partitionId} and group_name = ${group}`,
      ),
    { readOnly: true },
  )
  return (
    row && {
      id: BigInt(row.id),
      next: BigInt(row.next_offset),
      delivered: BigInt(row.delivered_offset),
    }
  )
}

/** Bounds the number of distinct statement texts. */
const ARMS_MAX = 8

/**
 * Stores how far several groups are, a few statements for any number of acknowledgements.
 *
 * A cursor never goes back: a process that lost its lease may still store an older place beside its successor, and
 * either place is true, since everything below each was acknowledged.
 */
export async function writeCursors(tx: Transaction, cursors: readonly Cursor[]): Promise<void> {
  // One order for everybody, so that two processes cannot wait for each other in a circle.
  const sorted = [...cursors].sort((a, b) => (a.id < b.id ? -1 : 1))
  for (let i = 0; i < sorted.length; i += ARMS_MAX) {
    const part = sorted.slice(i, i + ARMS_MAX)
    await tx.execute(
      sql`update ${tx.store.table('queue_cursor')} set ${forward(part, 'next_offset', (c) => c.next)}, ${forward(part, 'delivered_offset', (c) => c.delivered)} where ${tx.store.dialect.isOneOf(
        sql`id`,
        'bigint',
        part.map((c) => c.id),
      )}`,
    )
  }
}

function forward(cursors: readonly Cursor[], column: string, to: (cursor: Cursor) => bigint): Sql {
  const name = sql.ident(column)
  const arms = cursors.map((cursor) => {
    const offset = sql`cast(${to(cursor)} as bigint)`
    return sql` when id = ${cursor.id} and ${name} < ${offset} then ${offset}`
  })
  return sql`${name} = case${sql.join(arms, '')} else ${name} end`
}
