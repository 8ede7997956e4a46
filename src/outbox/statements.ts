/** The outbox's statements, one per function. The relay's own reading and deleting are in `relay-statements.ts`. */
import type { InsertColumn } from '../store/dialect.ts'
import { type Sql, type SqlValue, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { OutboxRow } from './message.ts'

export const MESSAGE_COLUMNS: readonly InsertColumn[] = [
  { name: 'name', type: 'text' },
  { name: 'partition', type: 'integer' },
  { name: 'message_id', type: 'text' },
  { name: 'topic', type: 'text' },
  { name: 'key', type: 'text' },
  { name: 'payload', type: 'text' },
  { name: 'headers', type: 'text' },
]

/** Appends messages in the order of `rows`; the database numbers them. */
export function insertMessages(store: Store, name: string, rows: readonly OutboxRow[]): Sql {
  return store.dialect.insertRows(store.table('outbox'), MESSAGE_COLUMNS, rows.map(toValues(name)))
}

/** What `insertFirst` answers for each row. */
export interface FirstRow {
  readonly message_id: string
  readonly sequence: SqlValue
  readonly published_at_ms: SqlValue
  /** No other message of the partition was there, whatever its transaction had committed before this statement began. */
  readonly first: boolean
}

/**
 * `insertMessages` for rows of one partition, which says whether they are the first there. The look does not see the rows
 * of its own statement, and begins at the start of the partition, as the relay's read does. Undefined where the database
 * cannot insert and look by one statement.
 */
export function insertFirst(store: Store, name: string, rows: readonly OutboxRow[]): Sql | undefined {
  const { seesLatest, insertRows } = store.dialect
  const partition = rows[0]?.partition
  if (seesLatest === undefined || partition === undefined) return undefined
  const outbox = store.table('outbox')
  const other = sql`select other.sequence from ${outbox} as other where other.name = ${name} and other.partition = ${partition} order by other.name, other.partition, other.sequence limit 1`
  const returning = sql`message_id, sequence, published_at_ms, ${seesLatest} and (${other}) is null as first`
  return insertRows(outbox, MESSAGE_COLUMNS, rows.map(toValues(name)), { returning })
}

/** Keeps delayed messages. The due time is reckoned on the store's clock. */
export function insertLater(store: Store, name: string, rows: readonly OutboxRow[]): Sql {
  const { dialect } = store
  const columns = sql.names(MESSAGE_COLUMNS)
  const values = dialect.rowsAs(
    'm',
    [...MESSAGE_COLUMNS, { name: 'delay_ms', type: 'bigint' }],
    rows.map((row) => [...toValues(name)(row), row.delayMs]),
  )
  return sql`insert into ${store.table('outbox_later')} (${columns}, due_at_ms) select ${columns}, ${dialect.nowMs} + delay_ms from ${values}`
}

function toValues(name: string): (row: OutboxRow) => (string | number | null)[] {
  return (row) => [name, row.partition, row.id, row.topic, row.key, row.payload, row.headers]
}

/** Backlog and age on the store's clock. Counts the rows, so it is for people, not for every poll. */
export function readBacklog(store: Store, name: string): Sql {
  return sql`select count(*) as backlog, coalesce(max(${store.dialect.nowMs} - published_at_ms), 0) as oldest_age_ms from ${store.table('outbox')} where name = ${name}`
}

export function countLater(store: Store, name: string): Sql {
  return sql`select count(*) as later from ${store.table('outbox_later')} where name = ${name}`
}

export function countDeadLetters(store: Store, source: string): Sql {
  return sql`select count(*) as dead from ${store.table('dead_letter')} where source = ${source}`
}
