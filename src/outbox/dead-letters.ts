import {
  type Check,
  checkArguments,
  checkOptions,
  isCount,
  isName,
  isObject,
  optionsOf,
  show,
} from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import type { InsertColumn } from '../store/dialect.ts'
import { type Sql, type SqlValue, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { outboxOf } from './source.ts'
import { wakeRelays } from './wake.ts'

/** A message that was given up. */
export interface DeadLetter {
  readonly id: string
  /** Whose it is: `outbox/<name>` or `inbox/<group>`. */
  readonly source: string
  readonly topic: string
  readonly key: string | null
  readonly messageId: string
  readonly payload: string
  readonly headers: Readonly<Record<string, string>>
  /** The last error, as one line. */
  readonly reason: string
  readonly errorCode: string | null
  readonly stack: string | null
  readonly attempts: number
  /** On the store's clock. */
  readonly failedAtMs: number
  readonly publishedAtMs: number | null
  /** True while an inbox's dead letter waits for its consumer to handle it again. */
  readonly retryRequested: boolean
}

/** All that is given must match. */
export interface DeadLetterFilter {
  readonly ids?: readonly string[]
  readonly source?: string
  readonly topic?: string
  readonly key?: string
  /** Only those that failed at least this long ago, on the store's clock. 0 matches all. */
  readonly olderThanMs?: number
  /** At most this many, those that failed first. `list`: default 100. `retry` and `purge`: default all. */
  readonly limit?: number
}

export interface DeadLetterChange {
  /** How many were changed, or with `dryRun` would be. */
  readonly count: number
}

export interface DeadLetters {
  /** Shape: those that failed first come first. Bounds: `limit`. */
  list(filter?: DeadLetterFilter): Promise<DeadLetter[]>
  show(id: string): Promise<DeadLetter | undefined>
  /**
   * Sends them on their way again, with all attempts before them. One of an outbox goes back into it, behind the
   * messages of its key that are there; one of an inbox is marked, and its consumer picks it up.
   *
   * Bounds: transactions of 500, and no more than there are at the call. When it rejects, those of earlier transactions are on their way.
   */
  retry(filter: DeadLetterFilter, options?: { readonly dryRun?: boolean }): Promise<DeadLetterChange>
  /**
   * Deletes them for good.
   * @throws ConfigError for an empty filter; `{ olderThanMs: 0 }` means all
   */
  purge(filter: DeadLetterFilter, options?: { readonly dryRun?: boolean }): Promise<DeadLetterChange>
}

const BATCH_MAX = 500
const LIST_DEFAULT = 100
const LIMIT_MAX = 1_000_000_000

export function deadLetters(store: Store): DeadLetters {
  checkArguments('deadLetters', isStore(store))
  return {
    async list(filter = {}) {
      checkFilter('deadLetters.list', filter)
      return read(store, matching(store, filter), filter.limit ?? LIST_DEFAULT)
    },
    async show(id) {
      checkArguments('deadLetters.show', isName('id', id))
      const [letter] = await read(store, sql`id = ${id}`, 1)
      return letter
    },
    async retry(filter, options = {}) {
      checkFilter('deadLetters.retry', filter)
      const dryRun = isDryRun('deadLetters.retry', options)
      const where = sql`${matching(store, filter)} and retry_requested = 0`
      return change(store, where, { limit: filter.limit, dryRun }, sendAgain)
    },
    async purge(filter, options = {}) {
      const dryRun = isDryRun('deadLetters.purge', options)
      checkFilter('deadLetters.purge', filter, [
        CRITERIA.some((name) => filter?.[name] !== undefined) ||
          'the filter is empty; to delete all, pass { olderThanMs: 0 }',
      ])
      return change(store, matching(store, filter), { limit: filter.limit, dryRun }, remove)
    },
  }
}

function isDryRun(subject: string, options: { readonly dryRun?: boolean }): boolean {
  const { dryRun = false } = optionsOf(subject, options)
  checkOptions(subject, options, ['dryRun'], [typeof dryRun === 'boolean' || 'dryRun must be true or false'])
  return dryRun
}

const CRITERIA = ['ids', 'source', 'topic', 'key', 'olderThanMs'] as const

function checkFilter(subject: string, filter: DeadLetterFilter, more: readonly Check[] = []): void {
  checkArguments(subject, isObject('filter', filter))
  const { ids, source, topic, key, olderThanMs, limit } = filter
  checkOptions(
    subject,
    filter,
    [...CRITERIA, 'limit'],
    [
      ids === undefined ||
        (Array.isArray(ids) && ids.every((id) => typeof id === 'string')) ||
        'ids must be an array of strings',
      source === undefined || isName('source', source, 300),
      topic === undefined || isName('topic', topic),
      key === undefined || isName('key', key, 1_000),
      olderThanMs === undefined ||
        (Number.isFinite(olderThanMs) && olderThanMs >= 0) ||
        `olderThanMs must be 0 or a positive number of milliseconds, got ${show(olderThanMs)}`,
      limit === undefined || isCount('limit', limit, 1, LIMIT_MAX),
      ...more,
    ],
  )
}

function matching(store: Store, { ids, source, topic, key, olderThanMs }: DeadLetterFilter): Sql {
  const { dialect } = store
  const clauses = [
    sql`1 = 1`,
    ids !== undefined && dialect.isOneOf(sql.ident('id'), 'text', ids),
    source !== undefined && sql`source = ${source}`,
    topic !== undefined && sql`topic = ${topic}`,
    key !== undefined && sql`key = ${key}`,
    olderThanMs !== undefined && sql`failed_at_ms <= ${dialect.nowMs} - ${Math.ceil(olderThanMs)}`,
  ].filter((clause) => clause !== false)
  return sql.join(clauses, ' and ')
}

interface LetterRow {
  readonly id: string
  readonly source: string
  readonly partition: number | null
  readonly attempts: number
  readonly retry_requested: number
  readonly failed_at_ms: SqlValue
  readonly published_at_ms: SqlValue
  readonly message_id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  readonly headers: string | null
  readonly reason: string
  readonly error_code: string | null
  readonly stack: string | null
}

async function read(store: Store, where: Sql, limit: number): Promise<DeadLetter[]> {
  const rows = await store.transaction(
    (tx) =>
      tx.query<LetterRow>(
        sql`select id, source, partition, attempts, retry_requested, failed_at_ms, published_at_ms, message_id, topic, key, payload, headers, reason, error_code, stack from ${store.table('dead_letter')} where ${where} order by failed_at_ms, id limit ${limit}`,
      ),
    { readOnly: true, isolation: 'read-committed' },
  )
  return rows.map((row) => ({
    id: row.id,
    source: row.source,
    topic: row.topic,
    key: row.key,
    messageId: row.message_id,
    payload: row.payload,
    headers: row.headers === null ? {} : JSON.parse(row.headers),
    reason: row.reason,
    errorCode: row.error_code,
    stack: row.stack,
    attempts: Number(row.attempts),
    failedAtMs: Number(row.failed_at_ms),
    publishedAtMs: row.published_at_ms === null ? null : Number(row.published_at_ms),
    retryRequested: Number(row.retry_requested) === 1,
  }))
}

type Locked = Pick<LetterRow, 'id' | 'source'>
type Act = (tx: Transaction, letters: readonly Locked[]) => Promise<void>

async function change(
  store: Store,
  where: Sql,
  { limit = LIMIT_MAX, dryRun }: { limit: number | undefined; dryRun: boolean },
  act: Act,
): Promise<DeadLetterChange> {
  const [row] = await store.query<{ letters: unknown }>(
    sql`select count(*) as letters from ${store.table('dead_letter')} where ${where}`,
  )
  // No more than there are now: one that is retried and fails again meanwhile is not taken a second time.
  const meant = Math.min(limit, Number(row?.letters))
  if (dryRun) return { count: meant }
  let count = 0
  while (count < meant) {
    const wanted = Math.min(BATCH_MAX, meant - count)
    const found = await store.transaction(
      async (tx) => {
        const letters = await lockLetters(tx, where, wanted)
        if (letters.length > 0) await act(tx, letters)
        return letters
      },
      { isolation: 'read-committed' },
    )
    count += found.length
    for (const name of new Set(found.map((letter) => outboxOf(letter.source)))) {
      if (name !== undefined) wakeRelays(store, name)
    }
    if (found.length < wanted) break
  }
  return { count }
}

/** Another that retries or purges at the same time keeps what it has locked. */
function lockLetters(tx: Transaction, where: Sql, limit: number): Promise<Locked[]> {
  const { dialect } = tx.store
  return tx.query<Locked>(
    sql`select id, source from ${tx.store.table('dead_letter')} where ${where} order by failed_at_ms, id limit ${limit}${dialect.forUpdate({ skipLocked: dialect.skipLocked })}`,
  )
}

const sendAgain: Act = async (tx, letters) => {
  const ofOutboxes = letters.filter((letter) => outboxOf(letter.source) !== undefined)
  const others = letters.filter((letter) => outboxOf(letter.source) === undefined)
  if (ofOutboxes.length > 0) {
    await putBack(tx, ofOutboxes)
    await remove(tx, ofOutboxes)
  }
  if (others.length > 0) {
    await tx.execute(
      sql`update ${tx.store.table('dead_letter')} set retry_requested = 1 where ${idIn(tx.store, others)}`,
    )
  }
}

const NAMED: readonly InsertColumn[] = [
  { name: 'id', type: 'text' },
  { name: 'name', type: 'text' },
]

/** The payloads stay in the database on the way. */
async function putBack(tx: Transaction, letters: readonly Locked[]): Promise<void> {
  const { store } = tx
  const columns = sql.raw('partition, message_id, topic, key, payload, headers')
  const named = store.dialect.rowsAs(
    'named',
    NAMED,
    letters.map(({ id, source }) => [id, outboxOf(source) as string]),
  )
  await tx.execute(
    sql`insert into ${store.table('outbox')} (name, published_at_ms, ${columns}) select named.name, coalesce(published_at_ms, ${store.dialect.nowMs}), ${columns} from ${store.table('dead_letter')} as letter join ${named} on named.id = letter.id order by failed_at_ms, letter.id`,
  )
}

async function remove(tx: Transaction, letters: readonly Locked[]): Promise<void> {
  await tx.execute(sql`delete from ${tx.store.table('dead_letter')} where ${idIn(tx.store, letters)}`)
}

function idIn(store: Store, letters: readonly Locked[]): Sql {
  return store.dialect.isOneOf(
    sql.ident('id'),
    'text',
    letters.map((letter) => letter.id),
  )
}
