/**
 * Databases that the tests of one file use one after the other: on PostgreSQL, making one takes longer than most tests run.
 * Only for tests whose every connection is of their own process and is idle, or closed, at their end.
 */
import { type Store, sql } from 'holdfast'
import { afterAll } from 'vitest'
import { openStoreAt, type StoreAt } from '../support/store-at.ts'
import { freshStore } from '../support/stores.ts'
import { EFFECTS, stores } from './stores.ts'

interface Reused extends StoreAt {
  /** What a new one has. */
  readonly tables: ReadonlySet<string>
}

const idle: Reused[] = []
afterAll(async () => {
  for (const database of idle) await database[Symbol.asyncDispose]()
})

const [sqlite, onPostgres] = stores as [(typeof stores)[number], (typeof stores)[number]]

export const reusedStores: typeof stores = [sqlite, { ...onPostgres, open: openReused }]

async function openReused() {
  const taken: { database: Reused; opened: StoreAt }[] = []
  const take = async (): Promise<StoreAt> => {
    const database = idle.pop() ?? (await make())
    const opened = openStoreAt(database.at, { max: 12 })
    taken.push({ database, opened })
    return opened
  }
  return {
    ...(await take()),
    second: take,
    async [Symbol.asyncDispose]() {
      for (const { database, opened } of taken) {
        await opened[Symbol.asyncDispose]()
        await empty(database)
        idle.push(database)
      }
    },
  }
}

async function make(): Promise<Reused> {
  const fresh = await freshStore('postgres', { pool: { max: 1 } })
  await fresh.store.execute(EFFECTS)
  return { ...fresh, tables: new Set(await tablesOf(fresh.store)) }
}

async function tablesOf(store: Store): Promise<string[]> {
  const rows = await store.query<{ name: string }>(
    sql`select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'holdfast_revision'`,
  )
  return rows.map((row) => row.name)
}

/** Fails, rather than wait for long, when something of the test is still at work here. */
async function empty({ store, tables }: Reused): Promise<void> {
  const statements = (await tablesOf(store)).map((name) =>
    tables.has(name) ? `delete from ${name}` : `drop table ${name} cascade`,
  )
  await store.execute(`set local lock_timeout = '10s'; ${statements.join('; ')}`)
}
