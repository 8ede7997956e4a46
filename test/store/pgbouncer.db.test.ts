/** Behind a proxy that pools by transaction: what the documentation says works, works, and the rest is refused. */
import { migrate, type Store, sql } from 'holdfast'
import { createInbox } from 'holdfast/inbox'
import { createLocks } from 'holdfast/lock'
import { createOutbox } from 'holdfast/outbox'
import { postgres } from 'holdfast/postgres'
import { storeQueue } from 'holdfast/store-queue'
import { allTables } from 'holdfast/tables'
import { describeStoreContract } from 'holdfast/testing'
import { createTwoPhase } from 'holdfast/two-phase'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { judgeProxy, readProxyFacts } from '../../src/cli/doctor/proxy.ts'
import { describeBaseContract } from '../../src/testing/base-contract.ts'
import { pgbouncerServer } from '../support/pgbouncer.ts'
import { freshDatabase } from '../support/postgres.ts'
import { describeWith } from '../support/servers.ts'

const kit = { describe, it, expect, beforeEach, afterEach }

describeWith(await pgbouncerServer(), 'behind PgBouncer in transaction mode', (proxy) => {
  async function open() {
    const database = await freshDatabase()
    const connectionString = `${proxy}${new URL(database.url).pathname}`
    const pools: pg.Pool[] = []
    const connect = (options: { prepare?: boolean; clock?: Store['clock'] } = {}): Store => {
      const pool = new pg.Pool({ connectionString })
      pools.push(pool)
      return postgres(pool, { prepare: false, ...options })
    }
    return {
      connect,
      close: async () => {
        await Promise.all(pools.map((pool) => pool.end()))
        await database.drop()
      },
    }
  }

  describeStoreContract(kit, 'PgBouncer', async () => {
    const { connect, close } = await open()
    return { store: connect(), other: connect(), close }
  })

  describeBaseContract(kit, 'PgBouncer', async () => {
    const { connect, close } = await open()
    return { store: connect(), other: connect(), withClock: (clock) => connect({ clock }), close }
  })

  it('carries an order from its transaction to its handler, each once, with locks that hold', async () => {
    const { connect, close } = await open()
    try {
      const store = connect()
      await migrate(store, allTables)
      await store.execute(sql`create table paid (id text primary key, seen int not null)`)
      const outbox = createOutbox(store)
      await using broker = storeQueue(connect())
      await using relay = outbox.relay({ broker })
      const locks = createLocks(store)
      for (let i = 0; i < 30; i++)
        await store.transaction((tx) =>
          outbox.publish(tx, { topic: 'order', key: `k${i % 3}`, payload: { i } }),
        )
      const figures = await createInbox(connect()).drainOnce({
        broker,
        topic: 'order',
        group: 'payments',
        handler: async (tx, { id }) => {
          await using _lock = await locks.acquire('till', { waitMs: 20_000 })
          await tx.execute(sql`insert into paid (id, seen) values (${id}, 1)`)
        },
      })
      expect(figures).toMatchObject({ handled: 30, duplicates: 0, deadLetters: 0 })
      expect(await store.query(sql`select count(*)::int as n from paid`)).toEqual([{ n: 30 }])
      await relay.stop()
      await locks.close()
    } finally {
      await close()
    }
  })

  it('doctor sees the proxy', async () => {
    const database = await freshDatabase()
    const pool = new pg.Pool({ connectionString: `${proxy}${new URL(database.url).pathname}` })
    try {
      expect(judgeProxy(await readProxyFacts(pool))).toMatchObject({ level: 'warning' })
    } finally {
      await pool.end()
      await database.drop()
    }
  })

  it('refuses two-phase commit, and says what to do', async () => {
    const { connect, close } = await open()
    try {
      const log = connect()
      await migrate(log, allTables)
      const twoPhase = createTwoPhase(log, { participants: { pooled: connect() } })
      await expect(twoPhase.check()).rejects.toMatchObject({
        code: 'TWO_PHASE_SETUP',
        message: expect.stringMatching(/"pooled".*pools by transaction.*connect to the server itself/),
      })
    } finally {
      await close()
    }
  })
})
