/** What the command line does with dead letters, one statement per function. Whose they are does not matter to it. */
import {
  type InsertColumn,
  type Sql,
  type SqlValue,
  type Store,
  sql,
  type Transaction,
} from '../../store/index.ts'

/** Which letters are meant; all that is given must hold. */
export interface LetterFilter {
  readonly ids?: readonly string[]
  /** `outbox/<name>` or `inbox/<group>`. */
  readonly source?: string
  readonly topic?: string
  readonly key?: string
  /** Given up longer ago than this, on the store's clock. */
  readonly olderThanMs?: number
}

export interface Letter {
  readonly id: string
  readonly source: string
  readonly topic: string
  readonly key: string | null
  readonly messageId: string
  readonly attempts: number
  readonly ageMs: number
  readonly failedAtMs: number
  readonly retryRequested: boolean
  readonly reason: string
  readonly errorCode: string | null
}

export interface WholeLetter extends Letter {
  readonly publishedAtMs: number | null
  readonly payload: string
  readonly headers: Readonly<Record<string, string>>
  readonly stack: string | null
}

/** Letters that one transaction takes, which bounds how long it holds them. */
const BATCH = 500

/** Oldest first. */
export async function listLetters(store: Store, filter: LetterFilter, limit: number): Promise<Letter[]> {
  const rows = await store.transaction(
    (tx) =>
      tx.query<LetterRow>(
        sql`${select(store)} where ${matching(store, filter)} order by failed_at_ms, id limit ${limit}`,
      ),
    { readOnly: true },
  )
  return rows.map(toLetter)
}

export async function countLetters(store: Store, filter: LetterFilter): Promise<number> {
  const [row] = await store.transaction(
    (tx) =>
      tx.query<{ letters: unknown }>(
        sql`select count(*) as letters from ${store.table('dead_letter')} where ${matching(store, filter)}`,
      ),
    { readOnly: true },
  )
  return Number(row?.letters)
}

export async function readLetter(store: Store, id: string): Promise<WholeLetter | undefined> {
  const [row] = await store.transaction(
    (tx) =>
      tx.query<
        LetterRow & {
          published_at_ms: unknown
          payload: string
          headers: string | null
          stack: string | null
        }
      >(sql`${select(store, sql.raw(', published_at_ms, payload, headers, stack'))} where id = ${id}`),
    { readOnly: true },
  )
  if (row === undefined) return undefined
  return {
    ...toLetter(row),
    publishedAtMs: row.published_at_ms === null ? null : Number(row.published_at_ms),
    payload: row.payload,
    headers: row.headers === null ? {} : (JSON.parse(row.headers) as Record<string, string>),
    stack: row.stack,
  }
}

/**
 * Brings letters back: those of an outbox go into the outbox again, behind what waits there; those of an inbox are
 * marked, and the group's consumer handles them. Each batch is one transaction.
 *
 * Guarantee: a letter is either still there or back in its outbox, and never both. Gives how many were taken.
 */
export async function retryLetters(store: Store, filter: LetterFilter): Promise<number> {
  const moved = await inBatches(store, matching(store, filter, sql`source like 'outbox/%'`), moveToOutbox)
  const requested = await inBatches(
    store,
    matching(store, filter, sql`source like 'inbox/%' and retry_requested = 0`),
    (tx, rows) => tx.execute(requestRetry(tx.store, rows)),
  )
  return moved + requested
}

/** Removes letters for good. Gives how many. */
export async function purgeLetters(store: Store, filter: LetterFilter): Promise<number> {
  return inBatches(store, matching(store, filter), (tx, rows) => tx.execute(deleteLetters(tx.store, rows)))
}

interface OutboundRow {
  readonly id: string
  readonly source: string
  readonly partition: number | null
  readonly message_id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  readonly headers: string | null
  readonly published_at_ms: SqlValue
}

/**
 * Takes up to a batch of letters, locked, until none is left. The first look fixes how many there are to do, so that
 * letters which fail again meanwhile are not taken a second time without end.
 */
async function inBatches(
  store: Store,
  where: Sql,
  act: (tx: Transaction, rows: readonly OutboundRow[]) => Promise<number>,
): Promise<number> {
  const [row] = await store.query<{ letters: unknown; until: SqlValue }>(
    sql`select count(*) as letters, max(failed_at_ms) as until from ${store.table('dead_letter')} where ${where}`,
  )
  const until = row?.until ?? null
  let done = 0
  for (let left = Number(row?.letters); left > 0; left -= BATCH) {
    const taken = await store.transaction(async (tx) => {
      const rows = await tx.query<OutboundRow>(
        sql`select id, source, partition, message_id, topic, key, payload, headers, published_at_ms from ${store.table('dead_letter')} where ${where} and failed_at_ms <= ${until} order by failed_at_ms, id limit ${Math.min(left, BATCH)}${store.dialect.forUpdate()}`,
      )
      return rows.length === 0 ? 0 : act(tx, rows)
    })
    done += taken
    if (taken === 0) break
  }
  return done
}

const OUTBOX_COLUMNS: readonly InsertColumn[] = [
  { name: 'name', type: 'text' },
  { name: 'partition', type: 'integer' },
  { name: 'published_at_ms', type: 'bigint' },
  { name: 'message_id', type: 'text' },
  { name: 'topic', type: 'text' },
  { name: 'key', type: 'text' },
  { name: 'payload', type: 'text' },
  { name: 'headers', type: 'text' },
]

async function moveToOutbox(tx: Transaction, rows: readonly OutboundRow[]): Promise<number> {
  const { store } = tx
  await tx.execute(
    store.dialect.insertRows(
      store.table('outbox'),
      OUTBOX_COLUMNS,
      rows.map((r) => [
        r.source.slice('outbox/'.length),
        r.partition ?? 0,
        r.published_at_ms ?? store.clock.now(),
        r.message_id,
        r.topic,
        r.key,
        r.payload,
        r.headers,
      ]),
    ),
  )
  return tx.execute(deleteLetters(store, rows))
}

function deleteLetters(store: Store, rows: readonly OutboundRow[]): Sql {
  return sql`delete from ${store.table('dead_letter')} where ${among(store, rows)}`
}

function requestRetry(store: Store, rows: readonly OutboundRow[]): Sql {
  return sql`update ${store.table('dead_letter')} set retry_requested = 1 where ${among(store, rows)}`
}

function among(store: Store, rows: readonly OutboundRow[]): Sql {
  return store.dialect.isOneOf(
    sql.ident('id'),
    'text',
    rows.map((r) => r.id),
  )
}

interface LetterRow {
  readonly id: string
  readonly source: string
  readonly topic: string
  readonly key: string | null
  readonly message_id: string
  readonly attempts: unknown
  readonly age_ms: unknown
  readonly failed_at_ms: unknown
  readonly retry_requested: unknown
  readonly reason: string
  readonly error_code: string | null
}

function select(store: Store, more: Sql = sql.raw('')): Sql {
  return sql`select id, source, topic, key, message_id, attempts, ${store.dialect.nowMs} - failed_at_ms as age_ms, failed_at_ms, retry_requested, reason, error_code${more} from ${store.table('dead_letter')}`
}

function matching(store: Store, filter: LetterFilter, also?: Sql): Sql {
  const { ids, source, topic, key, olderThanMs } = filter
  return sql.join(
    [
      sql`1 = 1`,
      ...(ids === undefined || ids.length === 0 ? [] : [store.dialect.isOneOf(sql.ident('id'), 'text', ids)]),
      ...(source === undefined ? [] : [sql`source = ${source}`]),
      ...(topic === undefined ? [] : [sql`topic = ${topic}`]),
      ...(key === undefined ? [] : [sql`key = ${key}`]),
      ...(olderThanMs === undefined ? [] : [sql`failed_at_ms < ${store.dialect.nowMs} - ${olderThanMs}`]),
      ...(also === undefined ? [] : [also]),
    ],
    ' and ',
  )
}

function toLetter(row: LetterRow): Letter {
  return {
    id: row.id,
    source: row.source,
    topic: row.topic,
    key: row.key,
    messageId: row.message_id,
    attempts: Number(row.attempts),
    ageMs: Math.max(0, Number(row.age_ms)),
    failedAtMs: Number(row.failed_at_ms),
    retryRequested: Number(row.retry_requested) === 1,
    reason: row.reason,
    errorCode: row.error_code,
  }
}
