/** Five well-known races, each with another library over `pg`, as people write them: found, and clean once repaired. */
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { Kysely, PostgresDialect, sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { explore, type RaceDefinition, race } from '../../src/race/index.ts'
import { inTransaction } from '../support/postgres.ts'
import { useLibraries } from './libraries.ts'

const db = useLibraries(`
  create table account (id text primary key, balance int not null);
  create table doctor (id text primary key, on_call boolean not null);
  create table member (id serial primary key, email text not null);
  create table member_once (id serial primary key, email text not null unique);
  create table room (id int primary key, seats int not null);
  create table booking (id serial primary key, room int not null)`)

interface Classic {
  readonly anomaly: string
  readonly setup: string
  /** The two tasks, broken or repaired. */
  tasks(repaired: boolean): [() => Promise<unknown>, () => Promise<unknown>]
}

const classics: Record<string, Classic> = {
  'lost update with pg': {
    anomaly: 'lost update',
    setup: `delete from account; insert into account values ('a', 100)`,
    tasks(repaired) {
      const withdraw = (amount: number) => () =>
        inTransaction(db.pool, async (client) => {
          const { rows } = await client.query(
            `select balance from account where id = 'a' ${repaired ? 'for update' : ''}`,
          )
          await client.query(`update account set balance = $1 where id = 'a'`, [rows[0].balance - amount])
        })
      return [withdraw(30), withdraw(50)]
    },
  },
  'write skew with Kysely': {
    anomaly: 'write skew',
    setup: `delete from doctor; insert into doctor values ('a', true), ('b', true)`,
    tasks(repaired) {
      const kysely = new Kysely<{ doctor: { id: string; on_call: boolean } }>({
        dialect: new PostgresDialect({ pool: db.pool }),
      })
      const goHome = (id: string) => () =>
        kysely
          .transaction()
          .setIsolationLevel(repaired ? 'serializable' : 'repeatable read')
          .execute(async (tx) => {
            const onCall = await tx.selectFrom('doctor').select('id').where('on_call', '=', true).execute()
            if (onCall.length < 2) return
            await sql`update doctor set on_call = false where id = ${id}`.execute(tx)
          })
      return [goHome('a'), goHome('b')]
    },
  },
  'check-then-insert with Drizzle': {
    anomaly: 'check-then-insert',
    setup: 'delete from member; delete from member_once',
    tasks(repaired) {
      const table = drizzleSql.raw(repaired ? 'member_once' : 'member')
      const join = () =>
        drizzle(db.pool).transaction(async (tx) => {
          const { rows } = await tx.execute(drizzleSql`select id from ${table} where email = ${'ann@x'}`)
          if (rows.length === 0)
            await tx.execute(drizzleSql`insert into ${table} (email) values (${'ann@x'})`)
        })
      return [join, join]
    },
  },
  'deadlock with Knex': {
    anomaly: 'deadlock',
    setup: `delete from account; insert into account values ('a', 100), ('b', 100)`,
    tasks(repaired) {
      const transfer = (from: string, to: string) => () =>
        db.knex.transaction(async (tx) => {
          const both = [
            { id: from, by: -10 },
            { id: to, by: 10 },
          ]
          if (repaired) both.sort((x, y) => (x.id < y.id ? -1 : 1))
          for (const { id, by } of both) await tx('account').where({ id }).increment('balance', by)
        })
      return [transfer('a', 'b'), transfer('b', 'a')]
    },
  },
  'phantom with TypeORM': {
    anomaly: 'phantom',
    setup: 'delete from booking; delete from room; insert into room values (7, 1)',
    tasks(repaired) {
      const book = () =>
        db.typeorm.transaction(async (manager) => {
          const [room] = await manager.query(
            `select seats from room where id = 7 ${repaired ? 'for update' : ''}`,
          )
          const [{ taken }] = await manager.query('select count(*)::int as taken from booking where room = 7')
          if (taken < room.seats) await manager.query('insert into booking (room) values (7)')
        })
      return [book, book]
    },
  },
}

describe.each(Object.entries(classics))('%s', (name, { anomaly, setup, tasks }) => {
  const look = (repaired: boolean) => {
    const [alice, bob] = tasks(repaired)
    const definition: RaceDefinition = {
      store: db.pool,
      setup: (on) => on.query(setup),
      tasks: { alice: async () => void (await alice()), bob: async () => void (await bob()) },
    }
    return explore(race(name, definition), { remedies: false })
  }

  it('is found within 50 schedules, and named', async () => {
    const { finding, coverage } = await look(false)
    expect(coverage.schedules).toBeLessThanOrEqual(50)
    expect(finding?.anomaly).toBe(anomaly)
  })

  it('is clean in every schedule once repaired', async () => {
    const { finding, coverage } = await look(true)
    expect(finding?.explanation).toBeUndefined()
    expect(coverage.exhaustive).toBe(true)
  })
})
