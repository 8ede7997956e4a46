import { randomUUID } from 'node:crypto'
import { type Store, sql } from 'holdfast'
import type { LockRequest } from 'holdfast/lock'
import { expect } from 'vitest'

/** What the row of one lock holds; the entries as the document has them. */
export interface StoredLock {
  readonly place: 'columns' | 'document'
  readonly token: bigint
  readonly holders: readonly string[]
}

interface Row {
  readonly token: string
  readonly entries: string
  readonly changed_ms: string | number
  readonly until_ms: string | number | null
  readonly holder: string | null
}

/** Reads a lock's row and sees to it that only one of the two places is in use. Ended entries count, until they are removed. */
export async function storedLock(store: Store, name: string): Promise<StoredLock> {
  const [row] = await store.query<Row>(
    sql`select cast(token as text) as token, cast(entries as text) as entries, changed_ms, until_ms, holder
      from ${store.table('lock')} where name = ${name}`,
  )
  if (row === undefined) throw new Error(`no lock ${name}`)
  const entries = JSON.parse(row.entries) as { h: string; u: number }[]
  const token = BigInt(row.token)
  if (row.until_ms === null) return { place: 'document', token, holders: entries.map(({ h }) => h) }
  expect(entries, 'entries in the document beside one in the columns').toEqual([])
  return { place: 'columns', token, holders: Number(row.until_ms) > 0 ? [row.holder as string] : [] }
}

/** Lets time pass for every lock of a store, without waiting. */
export async function passTime(store: Store, ms: number): Promise<void> {
  await store.transaction(async (tx) => {
    const lock = store.table('lock')
    const rows = await tx.query<{ name: string; entries: string }>(
      sql`select name, cast(entries as text) as entries from ${lock}`,
    )
    for (const { name, entries } of rows) {
      const earlier = (JSON.parse(entries) as { u: number; a: number }[]).map((entry) => ({
        ...entry,
        u: entry.u - ms,
        a: entry.a - ms,
      }))
      const json = sql.raw(store.dialect.name === 'postgres' ? '::jsonb' : '')
      await tx.execute(
        sql`update ${lock} set entries = ${JSON.stringify(earlier)}${json}, changed_ms = changed_ms - ${ms},
          until_ms = case when until_ms > 0 then until_ms - ${ms} else until_ms end where name = ${name}`,
      )
    }
  })
}

export const TTL_MS = 60_000

/** An exclusive request for `name`, unless told otherwise. */
export function request(name: string, more: Partial<LockRequest> = {}): LockRequest {
  return { name, holder: randomUUID(), mode: 'exclusive', limit: 1, ttlMs: TTL_MS, ...more }
}
