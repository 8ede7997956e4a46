import BetterSqlite3 from 'better-sqlite3'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { integer as pgInteger, pgTable } from 'drizzle-orm/pg-core'
import { integer, sqliteTable } from 'drizzle-orm/sqlite-core'
import { type JoinedTransaction, type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { CamelCasePlugin, Kysely, PostgresDialect, SqliteDialect } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { type FreshPool, freshPool, inTransaction } from '../support/postgres.ts'

interface Schema {
  mine: { id: number }
}

/** What a capability does: a statement at once, and one that is queued until the callback ends. */
const queued = async (
  tx: { execute: JoinedTransaction['execute'] },
  items: readonly number[],
): Promise<void> => {
  for (const id of items) await tx.execute(sql`insert into theirs (id) values (${id})`)
}
async function publish(tx: JoinedTransaction): Promise<void> {
  await tx.execute(sql`insert into theirs (id) values (${1})`)
  tx.beforeCommit(queued, 2)
  tx.beforeCommit(queued, 3)
}

describe('join on PostgreSQL', () => {
  let database: FreshPool
  let store: Store
  beforeAll(async () => {
    database = await freshPool()
    store = postgres(database.pool)
    await store.execute('create table mine (id int primary key); create table theirs (id int primary key)')
  })
  afterAll(() => database.drop())
  beforeEach(() => store.execute('truncate mine, theirs'))
  const stored = async () => [
    (await database.pool.query('select count(*)::int as n from mine')).rows[0].n,
    (await database.pool.query('select count(*)::int as n from theirs')).rows[0].n,
  ]

  const mine = pgTable('mine', { id: pgInteger('id').primaryKey() })
  /** Opens a transaction of the library, inserts a row of the user's, joins, and ends as the library does. */
  const libraries: Readonly<Record<string, (work: (handle: unknown) => Promise<void>) => Promise<void>>> = {
    pg: (work) =>
      inTransaction(database.pool, async (client) => {
        await client.query('insert into mine values (1)')
        await work(client)
      }),
    kysely: async (work) => {
      const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: database.pool }) })
      await db.transaction().execute(async (trx) => {
        await trx.insertInto('mine').values({ id: 1 }).execute()
        await work(trx)
      })
    },
    drizzle: async (work) => {
      await drizzlePg(database.pool).transaction(async (trx) => {
        await trx.insert(mine).values({ id: 1 })
        await work(trx)
      })
    },
    'drizzle, nested': async (work) => {
      await drizzlePg(database.pool).transaction(async (outer) => {
        await outer.insert(mine).values({ id: 1 })
        await outer.transaction((trx) => work(trx))
      })
    },
  }

  describe.each(Object.entries(libraries))('with %s', (_name, open) => {
    it('what was written commits with the rows of the user', async () => {
      await open(async (handle) => {
        expect(await store.join(handle, (tx) => publish(tx).then(() => 'result'))).toBe('result')
        expect(await stored()).toEqual([0, 0])
      })
      expect(await stored()).toEqual([1, 3])
    })

    it('and vanishes with them', async () => {
      const failed = open(async (handle) => {
        await store.join(handle, publish)
        throw new Error('undo')
      })
      await expect(failed).rejects.toThrow('undo')
      expect(await stored()).toEqual([0, 0])
    })

    it('reads what the user wrote, locks rows, and gives our errors', async () => {
      await open(async (handle) => {
        await store.join(handle, async (tx) => {
          expect(tx.joined).toBe(true)
          expect(await tx.query(sql`select id from mine where id = ${1}`)).toEqual([{ id: 1 }])
          expect(await tx.lockRows('mine', { id: 1 }, { wait: { waitMs: 100 } })).toEqual([{ id: 1 }])
          expect(await tx.execute(sql`update mine set id = ${1}`)).toBe(1)
        })
      })
      await store.execute('truncate mine')
      const failed = open((handle) =>
        store.join(handle, (tx) => tx.execute(sql`insert into mine (id) values (${1})`)).then(() => {}),
      )
      await expect(failed).rejects.toMatchObject({ code: 'CONSTRAINT_VIOLATED', kind: 'unique' })
    })

    it('a callback that throws queues nothing, and its tx is over afterwards', async () => {
      let leaked: JoinedTransaction | undefined
      await open(async (handle) => {
        await store
          .join(handle, async (tx) => {
            leaked = tx
            tx.beforeCommit(queued, 9)
            throw new Error('changed my mind')
          })
          .catch(() => {})
        await expect(leaked?.query('select 1')).rejects.toMatchObject({ code: 'TRANSACTION_STATE' })
      })
      expect(await stored()).toEqual([1, 0])
    })
  })

  it.each<[string, (client: pg.PoolClient) => unknown]>([
    ['the pool', () => database.pool],
    ['a client without a transaction', (client) => client],
    ['Kysely itself', () => new Kysely<Schema>({ dialect: new PostgresDialect({ pool: database.pool }) })],
    ["Drizzle's db", () => drizzlePg(database.pool)],
    ["Drizzle's db on a client", (client) => drizzlePg(client)],
  ])('%s is refused: no transaction is open', async (_name, handle) => {
    const client = await database.pool.connect()
    try {
      const failed = store.join(handle(client), publish)
      await expect(failed).rejects.toMatchObject({ code: 'CONFIG_INVALID', outcome: 'not-applied' })
      await expect(failed).rejects.toThrow(/no transaction is open/)
    } finally {
      client.release()
    }
    expect(await stored()).toEqual([0, 0])
  })

  it('a statement that waits for its turn when another one fails is not sent after the ROLLBACK', async () => {
    const client = await database.pool.connect()
    await client.query('begin')
    const failed = store.join(client, (tx) =>
      Promise.all(
        [1, 1, 2, 3, 4].map((id, i) =>
          tx.execute(i === 1 ? sql`select 1 / ${0}::int` : sql`insert into theirs (id) values (${id})`),
        ),
      ),
    )
    await expect(failed).rejects.toMatchObject({ code: 'STATEMENT_FAILED' })
    await client.query('rollback')
    await client.query('select 1')
    client.release()
    expect(await stored()).toEqual([0, 0])
  })

  it("Kysely's plugins do not change what Holdfast reads and writes", async () => {
    const db = new Kysely<Schema>({
      dialect: new PostgresDialect({ pool: database.pool }),
      plugins: [new CamelCasePlugin()],
    })
    const rows = await db
      .transaction()
      .execute((trx) => store.join(trx, (tx) => tx.query(sql`select ${1}::int as lease_epoch`)))
    expect(rows).toEqual([{ lease_epoch: 1 }])
  })

  it('each joined transaction has a signal of its own, on which listeners cannot pile up', async () => {
    const client = await database.pool.connect()
    await client.query('begin')
    const signal = () => store.join(client, async (tx) => tx.signal)
    expect(await signal()).not.toBe(await signal())
    await client.query('rollback')
    client.release()
  })

  it('a client of an older pg, which does not tell its state, is asked', async () => {
    const client = await database.pool.connect()
    const old = { query: client.query.bind(client) }
    const failed = store.join(old, publish)
    await expect(failed).rejects.toThrow(/no transaction is open on the pg handle/)
    await client.query('begin')
    await store.join(old, publish)
    await client.query('commit')
    client.release()
    expect(await stored()).toEqual([0, 3])
  })

  it.each([[undefined], [null], [{}], ['client'], [42]])('%j is no handle', async (handle) => {
    await expect(store.join(handle, publish)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })

  it('joinSync is refused as unsupported', () => {
    expect(() => store.joinSync({}, () => {})).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
  })
})

describe('join on SQLite, with better-sqlite3', () => {
  const folder = tempFolder('join')
  const open = () => new BetterSqlite3(folder.file('db'))
  let store: Store
  let db: BetterSqlite3.Database
  beforeAll(async () => {
    store = sqlite({ open })
    await store.execute('create table mine (id integer primary key)')
    await store.execute('create table theirs (id integer primary key)')
    db = open()
  })
  afterAll(async () => {
    db.close()
    await store.close()
    folder.remove()
  })
  beforeEach(() => void db.exec('delete from mine; delete from theirs'))
  const stored = async () => {
    const [row] = await store.query<{ m: number; t: number }>(
      'select (select count(*) from mine) as m, (select count(*) from theirs) as t',
    )
    return [row?.m, row?.t]
  }
  const mine = sqliteTable('mine', { id: integer('id').primaryKey() })

  const kysely = async (work: (handle: unknown) => Promise<void>) => {
    const own = open()
    const k = new Kysely<Schema>({ dialect: new SqliteDialect({ database: own }) })
    try {
      await k.transaction().execute(async (trx) => {
        await trx.insertInto('mine').values({ id: 1 }).execute()
        await work(trx)
      })
    } finally {
      await k.destroy()
    }
  }

  it('Kysely: commits with the rows of the user, and vanishes with them', async () => {
    await kysely((trx) => store.join(trx, publish))
    expect(await stored()).toEqual([1, 3])
    db.exec('delete from mine; delete from theirs')
    const failed = kysely(async (trx) => {
      await store.join(trx, publish)
      throw new Error('undo')
    })
    await expect(failed).rejects.toThrow('undo')
    expect(await stored()).toEqual([0, 0])
  })

  it('Kysely: booleans and dates travel as everywhere else', async () => {
    await kysely(async (trx) => {
      const [row] = await store.join(trx, (tx) => tx.query(sql`select ${true} as yes, ${new Date(0)} as day`))
      expect(row).toEqual({ yes: 1, day: '1970-01-01T00:00:00.000Z' })
    })
  })

  it('a plain handle in an open transaction, asynchronously', async () => {
    db.exec('begin')
    await store.join(db, publish)
    db.exec('rollback')
    expect(await stored()).toEqual([0, 0])
    db.exec('begin')
    await store.join(db, publish)
    db.exec('commit')
    expect(await stored()).toEqual([0, 3])
  })

  const syncWrite = (handle: unknown) =>
    store.joinSync(handle, (tx) => {
      tx.executeSync(sql`insert into theirs (id) values (${1})`)
      return tx.querySync<{ id: number }>('select id from mine')
    })

  it("better-sqlite3's own synchronous transaction", async () => {
    const run = db.transaction((fail: boolean) => {
      db.exec('insert into mine values (1)')
      expect(syncWrite(db)).toEqual([{ id: 1 }])
      if (fail) throw new Error('undo')
    })
    expect(() => run(true)).toThrow('undo')
    expect(await stored()).toEqual([0, 0])
    run(false)
    expect(await stored()).toEqual([1, 1])
  })

  it("Drizzle's synchronous transaction", async () => {
    const drizzle = drizzleSqlite(db)
    const run = (fail: boolean) =>
      drizzle.transaction((trx) => {
        trx.insert(mine).values({ id: 1 }).run()
        expect(syncWrite(trx)).toEqual([{ id: 1 }])
        if (fail) throw new Error('undo')
      })
    expect(() => run(true)).toThrow('undo')
    expect(await stored()).toEqual([0, 0])
    run(false)
    expect(await stored()).toEqual([1, 1])
  })

  it('an asynchronous callback in joinSync is refused, and so is its tx afterwards', () => {
    db.exec('begin')
    try {
      expect(() => store.joinSync(db, async () => {})).toThrow(/must be synchronous/)
    } finally {
      db.exec('rollback')
    }
  })

  it('without an open transaction each handle is refused', async () => {
    for (const handle of [db, drizzleSqlite(db)]) {
      await expect(store.join(handle, publish)).rejects.toThrow(/no transaction is open/)
      expect(() => syncWrite(handle)).toThrow(/no transaction is open/)
    }
    const k = new Kysely<Schema>({ dialect: new SqliteDialect({ database: db }) })
    await expect(store.join(k, publish)).rejects.toThrow(/no transaction is open/)
    expect(await stored()).toEqual([0, 0])
  })
})
