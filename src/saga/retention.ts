import type { Log } from '../core/log.ts'
import { type Sql, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { OwnTransaction } from '../store/transaction.ts'

const EVERY_MS = 60_000
const BATCH = 1_000

/** Removes ended sagas that are older than `keepMs`, with their journals and signals, in bounded batches. */
export class Retention {
  readonly stopped: Promise<void>

  constructor(
    store: Store,
    options: {
      readonly group: string
      readonly keepMs: number
      readonly log: Log
      readonly signal: AbortSignal
    },
  ) {
    this.stopped = loop(store, options)
  }
}

async function loop(
  store: Store,
  { group, keepMs, log, signal }: { group: string; keepMs: number; log: Log; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await store.clock.sleep(EVERY_MS * (0.5 + store.clock.random()), signal)
      await purgeEnded(store, { olderThanMs: keepMs, group, signal })
    } catch (error) {
      if (signal.aborted) return
      log.warn('ended sagas could not be removed', { error })
    }
  }
}

export async function purgeEnded(
  store: Store,
  {
    olderThanMs,
    group,
    name,
    signal,
  }: { olderThanMs: number; group?: string; name?: string; signal?: AbortSignal },
): Promise<number> {
  let removed = 0
  for (;;) {
    signal?.throwIfAborted()
    const count = await store.transaction(
      async (tx) => {
        const { dialect } = store
        const rows = await tx.query<{ id: string }>(
          sql`select id from ${store.table('saga')} as ended where ended_at_ms < ${dialect.nowMs} - ${Math.floor(olderThanMs)} and ${isUnasked(store)}
            ${group === undefined ? sql`` : sql` and substr(partition, 1, ${[...group].length + 1}) = ${`${group}/`}`}
            ${name === undefined ? sql`` : sql` and name = ${name}`} limit ${BATCH}`,
        )
        await removeSagas(
          tx,
          rows.map((row) => row.id),
        )
        return rows.length
      },
      { isolation: 'read-committed', ...(signal && { signal }) },
    )
    removed += count
    if (count < BATCH) return removed
  }
}

/** Of `ended`: not the child of a saga that may not have seen its end yet. */
export function isUnasked(store: Store): Sql {
  return sql`not exists (select 1 from ${store.table('saga')} as parent
    where parent.id = ended.parent_id and parent.ended_at_ms is null)`
}

export async function removeSagas(tx: OwnTransaction, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  const { store } = tx
  const { isOneOf } = store.dialect
  await tx.execute(
    sql`delete from ${store.table('saga_entry')} where ${isOneOf(sql.ident('saga_id'), 'text', ids)}`,
  )
  await tx.execute(
    sql`delete from ${store.table('saga_signal')} where ${isOneOf(sql.ident('saga_id'), 'text', ids)}`,
  )
  await tx.execute(sql`delete from ${store.table('saga')} where ${isOneOf(sql.ident('id'), 'text', ids)}`)
}
