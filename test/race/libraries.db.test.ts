/** The same lost update written with four libraries over `pg`, unmodified, and repaired with the row lock. */
import { sql as drizzleSql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import knexOf, { type Knex } from 'knex'
import { Kysely, sql as kyselySql, PostgresDialect } from 'kysely'
import { DataSource } from 'typeorm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { explore, race } from '../../src/race/index.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'

type Withdraw = (amount: number, lock: boolean) => Promise<unknown>
const READ = `select balance from account where id = 'a'`

let db: FreshPool
/** With pools of their own. */
let knex: Knex
let typeorm: DataSource
beforeAll(async () => {
  db = await freshPool()
  await db.pool.query('create table account (id text primary key, balance int not null)')
  knex = knexOf({ client: 'pg', connection: db.url })
  typeorm = await new DataSource({ type: 'postgres', url: db.url }).initialize()
})
afterAll(async () => {
  await knex.destroy()
  await typeorm.destroy()
  await db.drop()
})

const libraries: Record<string, () => Withdraw> = {
  kysely: () => {
    const kysely = new Kysely<{ account: { id: string; balance: number } }>({
      dialect: new PostgresDialect({ pool: db.pool }),
    })
    return (amount, lock) =>
      kysely.transaction().execute(async (tx) => {
        const read = tx.selectFrom('account').select('balance').where('id', '=', 'a')
        const { balance } = await (lock ? read.forUpdate() : read).executeTakeFirstOrThrow()
        await kyselySql`update account set balance = ${balance - amount} where id = ${'a'}`.execute(tx)
      })
  },
  drizzle: () => (amount, lock) =>
    drizzle(db.pool).transaction(async (tx) => {
      const { rows } = await tx.execute(drizzleSql.raw(lock ? `${READ} for update` : READ))
      const left = Number(rows[0]?.balance) - amount
      await tx.execute(drizzleSql`update account set balance = ${left} where id = ${'a'}`)
    }),
  knex: () => (amount, lock) =>
    knex.transaction(async (tx) => {
      const read = tx('account').where({ id: 'a' })
      const [row] = await (lock ? read.forUpdate() : read)
      await tx('account')
        .where({ id: 'a' })
        .update({ balance: row.balance - amount })
    }),
  typeorm: () => (amount, lock) =>
    typeorm.transaction(async (manager) => {
      const [row] = await manager.query(lock ? `${READ} for update` : READ)
      await manager.query('update account set balance = $1 where id = $2', [row.balance - amount, 'a'])
    }),
}

describe.each(Object.keys(libraries))('%s', (name) => {
  const look = (lock: boolean) => {
    const withdraw = (libraries[name] as () => Withdraw)()
    return explore(
      race(name, {
        store: db.pool,
        setup: (on) => on.query(`delete from account; insert into account values ('a', 100)`),
        tasks: {
          alice: async () => void (await withdraw(30, lock)),
          bob: async () => void (await withdraw(50, lock)),
        },
      }),
      { schedules: 100 },
    )
  }

  it('loses an update, which the row lock removes', async () => {
    const { finding, coverage } = await look(false)
    expect(finding).toMatchObject({ anomaly: 'lost update', preemptions: 1 })
    expect(coverage.schedules).toBeLessThanOrEqual(50)
    expect(finding?.remedies[0]).toMatchObject({ remedy: 'row lock', result: 'removes', exhaustive: true })
  })

  it('is clean with the row lock, in every schedule', async () => {
    const { finding, coverage } = await look(true)
    expect(finding).toBeUndefined()
    expect(coverage.exhaustive).toBe(true)
  })
})
