import { compileSql, type Sql, type Store, sql } from '../../store/index.ts'

export interface Rates {
  /** Of all outboxes of the store together. */
  readonly publishedPerSecond: number
  readonly relayedPerSecond: number
  readonly overMs: number
}

interface Sample {
  /** The last sequence number that was given out: it grows by one for each message, also after the row is gone. */
  readonly last: number
  readonly waiting: number
  readonly atMs: number
}

/**
 * Looks twice, `overMs` apart. Numbers drawn by transactions that rolled back count as published. Undefined when the
 * role may not look at the sequence, which publishing does not need.
 */
export async function measureRates(store: Store, overMs: number): Promise<Rates | undefined> {
  const before = await sample(store)
  if (before === undefined) return undefined
  await store.clock.sleep(overMs)
  const after = await sample(store)
  return after && ratesBetween(before, after)
}

/** Pure. */
export function ratesBetween(before: Sample, after: Sample): Rates {
  const overMs = Math.round(after.atMs - before.atMs)
  const published = Math.max(0, after.last - before.last)
  const relayed = Math.max(0, published - (after.waiting - before.waiting))
  const perSecond = (count: number): number => Math.round((count * 10_000) / overMs) / 10
  return { publishedPerSecond: perSecond(published), relayedPerSecond: perSecond(relayed), overMs }
}

async function sample(store: Store): Promise<Sample | undefined> {
  return store.transaction(
    async (tx) => {
      const [row] = await tx.query<{ last: unknown; waiting: unknown }>(
        sql`select (${lastNumber(store)}) as last, (select count(*) from ${store.table('outbox')}) as waiting`,
      )
      if (row === undefined || row.last === null) return undefined
      return { last: Number(row.last), waiting: Number(row.waiting), atMs: store.clock.monotonic() }
    },
    { readOnly: true },
  )
}

/** SQLite has a row for the table once a message was published; PostgreSQL has a sequence that must be readable. */
function lastNumber(store: Store): Sql {
  if (store.dialect.name === 'sqlite') {
    return sql`coalesce((select seq from sqlite_sequence where name = ${store.tableName('outbox')}), 0)`
  }
  const { text } = compileSql(store.table('outbox'), store.dialect)
  return sql`select case when has_sequence_privilege(s, 'select') then coalesce(pg_sequence_last_value(s), 0) end from (select pg_get_serial_sequence(${text}, 'sequence')::regclass::oid as s) as of_outbox`
}
