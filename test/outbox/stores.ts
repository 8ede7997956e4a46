import { type Store, sql } from 'holdfast'
import { leaseTables } from 'holdfast/lease'
import { deadLetterTables, outboxTables } from 'holdfast/outbox'
import { storeTables } from 'holdfast/store'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import type { StoreAt } from '../support/store-at.ts'
import { freshStore, type StoreKind } from '../support/stores.ts'

const tableSets = [storeTables, leaseTables, outboxTables, deadLetterTables]

export function openStore(kind: StoreKind): Promise<StoreAt> {
  return freshStore(kind, { tables: tableSets, pool: { max: 20 } })
}

/** Opens a store for each test of the block around it and closes it afterwards; with `once`, one for all of them. */
export function useStore(
  kind: StoreKind,
  take: (opened: StoreAt) => void | Promise<void>,
  { once = false } = {},
): void {
  let opened: StoreAt
  const [before, after] = once ? [beforeAll, afterAll] : [beforeEach, afterEach]
  before(async () => {
    opened = await openStore(kind)
    await take(opened)
  })
  after(() => opened[Symbol.asyncDispose]())
}

/** The number of rows in one of Holdfast's tables. */
export async function countRows(store: Store, table: string): Promise<number> {
  const [row] = await store.query<{ n: unknown }>(sql`select count(*) as n from ${store.table(table)}`)
  return Number(row?.n)
}
