/** The relay's statements, one per function. */
import type { Message } from '../broker/broker.ts'
import type { InsertColumn } from '../store/dialect.ts'
import { type Sql, type SqlValue, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'

/** A row of `outbox` as it was read. */
export interface ReadyRow {
  /** Passed back as the driver gave it, so that no digit is lost; only the database compares it. */
  readonly sequence: SqlValue
  readonly partition: number
  readonly attempts: number
  /** Milliseconds until the next attempt on the store's clock; null before the first failure. */
  readonly wait_ms: SqlValue
  readonly published_at_ms: SqlValue
  readonly message_id: string
  readonly topic: string
  readonly key: string | null
  /** Null where it is large, until it is fetched by itself. */
  readonly payload: string | null
  /** Null unless the payload is large. */
  readonly large_bytes: SqlValue
  readonly headers: string | null
}

export interface ReadRequest {
  readonly name: string
  /** In the order in which they are served. */
  readonly partitions: readonly number[]
  readonly limit: number
  /** Stored by the broker, their delete is under way. */
  readonly exceptSequences: readonly SqlValue[]
  /** Keys that wait for another attempt at their first message. */
  readonly exceptKeys: readonly string[]
}

/**
 * Reads the first messages of each partition, up to `limit` in all, in the order of their numbers within a partition.
 *
 * From the start each time. A number is drawn before its transaction commits, so a place that was passed may still get
 * a message; and waiting until that cannot happen any more would mean waiting for every open transaction of the
 * database. No locks: the partitions are leased.
 */
export function readReady(store: Store, request: ReadRequest): Sql {
  const { dialect } = store
  const { name, partitions, limit } = request
  const from = sql`from ${store.table('outbox')}`
  const except = exceptions(store, request)
  const columns = sql`sequence, partition, attempts, case when retry_at_ms is null then null else retry_at_ms - ${dialect.nowMs} end as wait_ms, published_at_ms, message_id, topic, key, case when octet_length(payload) <= ${LARGE_FROM} then payload end as payload, case when octet_length(payload) > ${LARGE_FROM} then octet_length(payload) end as large_bytes, headers`
  if (!dialect.lateral) {
    const among = dialect.isOneOf(sql.ident('partition'), 'integer', partitions)
    return sql`select ${columns} ${from} where name = ${name} and ${among}${except} order by sequence limit ${limit}`
  }
  // One descent of the primary key per partition, and none after the limit is met. The outer statement has no order of
  // its own: rows come partition by partition.
  const served = dialect.rowsAs(
    'served',
    [{ name: 'id', type: 'integer' }],
    partitions.map((id) => [id]),
  )
  return sql`select ready.* from ${served} cross join lateral (select ${columns} ${from} where name = ${name} and partition = served.id${except} order by name, partition, sequence limit ${limit}) as ready limit ${limit}`
}

/** What an idle relay wants to know: one row. */
export interface Glance {
  /** 1 when there is anything in these partitions, whether it may go now or not. */
  readonly ready: SqlValue
  /** Milliseconds until the first delayed message is due, on the store's clock; null when there is none. */
  readonly later_ms: SqlValue
}

export function glance(store: Store, name: string, partitions: readonly number[]): Sql {
  const any = readReady(store, { name, partitions, limit: 1, exceptSequences: [], exceptKeys: [] })
  const among = store.dialect.isOneOf(sql.ident('partition'), 'integer', partitions)
  const first = sql`select due_at_ms - ${store.dialect.nowMs} from ${store.table('outbox_later')} where name = ${name} and ${among} order by due_at_ms limit 1`
  return sql`select case when exists (${any}) then 1 else 0 end as ready, (${first}) as later_ms`
}

/**
 * Payloads above this many bytes are read by themselves, few at a time, so that a batch of them does not fill the
 * memory. The length is known without reading the payload.
 */
const LARGE_FROM = sql.raw('16384')

/** Payloads that `readReady` has left out. */
export function readPayloads(store: Store, name: string, places: readonly RowPlace[]): Sql {
  return sql`select sequence, payload from ${store.table('outbox')} where ${isOneOfPlaces(store, name, places)}`
}

/** The clauses are left out when empty, which is the rule. */
function exceptions(store: Store, { exceptSequences, exceptKeys }: ReadRequest): Sql {
  const { dialect } = store
  const clauses: Sql[] = []
  if (exceptSequences.length > 0)
    clauses.push(sql` and not (${dialect.isOneOf(sql.ident('sequence'), 'bigint', exceptSequences)})`)
  if (exceptKeys.length > 0)
    clauses.push(sql` and (key is null or not (${dialect.isOneOf(sql.ident('key'), 'text', exceptKeys)}))`)
  return sql.join(clauses, '')
}

export function toMessage(row: ReadyRow): Message {
  return {
    id: row.message_id,
    topic: row.topic,
    key: row.key,
    payload: row.payload as string,
    headers: row.headers === null ? NO_HEADERS : (JSON.parse(row.headers) as Record<string, string>),
    publishedAtMs: Number(row.published_at_ms),
  }
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

/** Names one row by its primary key. */
export interface RowPlace {
  readonly partition: number
  readonly sequence: SqlValue
}

const PLACE: readonly InsertColumn[] = [
  { name: 'partition', type: 'integer' },
  { name: 'sequence', type: 'bigint' },
]

function isOneOfPlaces(store: Store, name: string, places: readonly RowPlace[]): Sql {
  const given = store.dialect.rowsAs(
    'given',
    PLACE,
    places.map((p) => [p.partition, p.sequence]),
  )
  return sql`name = ${name} and (partition, sequence) in (select given.partition, given.sequence from ${given})`
}

export function deleteMessages(store: Store, name: string, places: readonly RowPlace[]): Sql {
  return store.dialect.deleteRows(
    store.table('outbox'),
    sql`name = ${name}`,
    PLACE,
    places.map((p) => [p.partition, p.sequence]),
  )
}

/** Of these rows, those that are there and that nobody else has locked; they are locked then. */
export function lockFree(store: Store, name: string, places: readonly RowPlace[]): Sql {
  const { dialect } = store
  return sql`select partition, sequence from ${store.table('outbox')} where ${isOneOfPlaces(store, name, places)}${dialect.forUpdate({ skipLocked: dialect.skipLocked })}`
}

/** Of these rows, those that are there, locked or not. */
export function findStanding(store: Store, name: string, places: readonly RowPlace[]): Sql {
  return sql`select partition, sequence from ${store.table('outbox')} where ${isOneOfPlaces(store, name, places)}`
}

/**
 * Locks the rows that still stand as this relay read them. A relay that lost its lease finds those that its successor
 * has dealt with gone, or with more attempts.
 */
export function lockMessages(store: Store, name: string, places: readonly RowPlace[]): Sql {
  return sql`select sequence, attempts from ${store.table('outbox')} where ${isOneOfPlaces(store, name, places)} order by sequence${store.dialect.forUpdate()}`
}

/** Counts an attempt and sets the time of the next, on the store's clock. */
export function postponeMessages(
  store: Store,
  name: string,
  places: readonly (RowPlace & { readonly delayMs: number })[],
): Sql {
  const { dialect } = store
  const delays = dialect.rowsAs(
    'delays',
    [
      { name: 'sequence', type: 'bigint' },
      { name: 'delay_ms', type: 'bigint' },
    ],
    places.map((p) => [p.sequence, p.delayMs]),
  )
  const outbox = store.table('outbox')
  return sql`update ${outbox} set attempts = attempts + 1, retry_at_ms = ${dialect.nowMs} + (select delays.delay_ms from ${delays} where delays.sequence = ${outbox}.sequence) where ${isOneOfPlaces(store, name, places)}`
}

const LATER: readonly InsertColumn[] = [
  { name: 'name', type: 'text' },
  { name: 'partition', type: 'integer' },
  { name: 'attempts', type: 'integer' },
  { name: 'published_at_ms', type: 'bigint' },
  { name: 'message_id', type: 'text' },
  { name: 'topic', type: 'text' },
  { name: 'key', type: 'text' },
  { name: 'payload', type: 'text' },
  { name: 'headers', type: 'text' },
]

/** Puts messages aside that others of their key may overtake. */
export function insertPostponed(
  store: Store,
  name: string,
  rows: readonly { readonly row: ReadyRow; readonly delayMs: number }[],
): Sql {
  const columns = sql.join(LATER.map((c) => sql.ident(c.name)))
  const values = store.dialect.rowsAs(
    'm',
    [...LATER, { name: 'delay_ms', type: 'bigint' }],
    rows.map(({ row, delayMs }) => [
      name,
      row.partition,
      row.attempts + 1,
      row.published_at_ms,
      row.message_id,
      row.topic,
      row.key,
      row.payload,
      row.headers,
      delayMs,
    ]),
  )
  return sql`insert into ${store.table('outbox_later')} (${columns}, due_at_ms) select ${columns}, ${store.dialect.nowMs} + delay_ms from ${values}`
}

/** The delayed messages of these partitions that are due first, and how long each has to wait yet. */
export function readLater(store: Store, name: string, partitions: readonly number[], limit: number): Sql {
  const among = store.dialect.isOneOf(sql.ident('partition'), 'integer', partitions)
  return sql`select id, due_at_ms - ${store.dialect.nowMs} as wait_ms from ${store.table('outbox_later')} where name = ${name} and ${among} order by due_at_ms, id limit ${limit}`
}

/** Locks those that are still there; another relay that moves some of them keeps those. */
export function lockLater(store: Store, ids: readonly SqlValue[]): Sql {
  const { dialect } = store
  const given = dialect.isOneOf(sql.ident('id'), 'bigint', ids)
  return sql`select id from ${store.table('outbox_later')} where ${given}${dialect.forUpdate({ skipLocked: dialect.skipLocked })}`
}

/** Makes delayed messages ready, in the order of their due times. The database numbers them anew. */
export function moveLater(store: Store, ids: readonly SqlValue[]): readonly [insert: Sql, remove: Sql] {
  const given = store.dialect.isOneOf(sql.ident('id'), 'bigint', ids)
  const columns = sql.join(LATER.map((c) => sql.ident(c.name)))
  const later = store.table('outbox_later')
  return [
    sql`insert into ${store.table('outbox')} (${columns}) select ${columns} from ${later} where ${given} order by due_at_ms, id`,
    sql`delete from ${later} where ${given}`,
  ]
}
