/** Sagas started in a transaction that the user's own library has open: they exist when, and only when, it commits. */
import BetterSqlite3 from 'better-sqlite3'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { type Store, type SyncTransaction, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { type SagaRunner, saga } from 'holdfast/saga'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { inTransaction } from '../support/postgres.ts'
import { reusedStores as stores } from './reused.ts'
import { type OpenedStore, startRunner } from './stores.ts'

const double = saga('double', async (s, n: number) => s.step('double', () => n * 2), { schema: z.number() })
const slowSchema = saga('slow schema', async () => {}, { schema: z.number().refine(async () => true) })
const [onSqlite, onPostgres] = stores as [(typeof stores)[number], (typeof stores)[number]]

const exists = async (store: Store, id: string): Promise<boolean> =>
  (await store.query(sql`select 1 as one from ${store.table('saga')} where id = ${id}`)).length === 1

describe('on PostgreSQL', () => {
  let opened: OpenedStore
  let pool: pg.Pool
  let store: Store
  let runner: SagaRunner
  beforeAll(async () => {
    opened = await onPostgres.open()
    pool = new pg.Pool({ connectionString: opened.at, max: 4 })
    store = postgres(pool)
    runner = await startRunner(store, [double])
  })
  afterAll(async () => {
    await runner.stop()
    await pool.end()
    await opened[Symbol.asyncDispose]()
  })

  /** Each opens a transaction, lends it, and commits unless `work` throws. */
  const libraries: Record<string, (work: (handle: unknown) => Promise<void>) => Promise<void>> = {
    pg: (work) => inTransaction(pool, work),
    kysely: (work) => new Kysely({ dialect: new PostgresDialect({ pool }) }).transaction().execute(work),
    drizzle: (work) => drizzlePg(pool).transaction(work),
  }

  it.each(Object.keys(libraries))('%s', async (name) => {
    const open = libraries[name] as (work: (handle: unknown) => Promise<void>) => Promise<void>
    const start = (handle: unknown, n: number, id: string) =>
      store.join(handle, (tx) => double.start(tx, n, { id }))
    const failed = open(async (handle) => {
      await start(handle, 1, `${name} back`)
      throw new Error('undo')
    })
    await expect(failed).rejects.toThrow('undo')
    expect(await exists(store, `${name} back`)).toBe(false)
    await open(async (handle) => {
      await start(handle, 21, name)
      await start(handle, 21, name)
      expect(await exists(opened.store, name)).toBe(false)
    })
    expect(await double.get(opened.store, name).result()).toBe(42)
    const other = open(async (handle) => void (await start(handle, 22, name)))
    await expect(other).rejects.toMatchObject({ code: 'SAGA_ID_TAKEN' })
  })
})

describe('in a synchronous transaction on SQLite', () => {
  let opened: OpenedStore
  let db: BetterSqlite3.Database
  let runner: SagaRunner
  beforeAll(async () => {
    opened = await onSqlite.open()
    db = new BetterSqlite3(opened.at)
    runner = await startRunner(opened.store, [double])
  })
  afterAll(async () => {
    await runner.stop()
    db.close()
    await opened[Symbol.asyncDispose]()
  })

  const libraries: Record<string, (work: (handle: unknown) => void) => void> = {
    'better-sqlite3': (work) => db.transaction(() => work(db))(),
    drizzle: (work) => drizzleSqlite(db).transaction(work),
  }

  it.each(Object.keys(libraries))('%s', async (name) => {
    const { store } = opened
    const open = libraries[name] as (work: (handle: unknown) => void) => void
    const start = (handle: unknown, n: number, id: string) =>
      store.joinSync(handle, (tx) => double.startSync(tx, n, { id }))
    const failed = () =>
      open((handle) => {
        start(handle, 1, `${name} back`)
        throw new Error('undo')
      })
    expect(failed).toThrow('undo')
    expect(await exists(store, `${name} back`)).toBe(false)
    open((handle) => {
      start(handle, 21, name)
      expect(start(handle, 21, name).id).toBe(name)
    })
    expect(await double.get(store, name).result()).toBe(42)
    expect(() => open((handle) => void start(handle, 22, name))).toThrow(
      expect.objectContaining({ code: 'SAGA_ID_TAKEN' }),
    )
  })

  it('what cannot be checked at once, or does not fit, is refused at once', async () => {
    const { store } = opened
    const within = (work: (tx: SyncTransaction) => unknown) => db.transaction(() => store.joinSync(db, work))
    const slow = within((tx) => slowSchema.startSync(tx, 1, { id: 'slow' }))
    expect(slow).toThrow(/asynchronously; use start/)
    const wrong = within((tx) => double.startSync(tx, 'one' as never, { id: 'wrong' }))
    expect(wrong).toThrow(expect.objectContaining({ code: 'PAYLOAD_INVALID' }))
    expect([await exists(store, 'slow'), await exists(store, 'wrong')]).toEqual([false, false])
  })
})
