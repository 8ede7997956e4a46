/** Remedies tried on races as people write them: what removes which, and that what does not help is shown not to help. */

import { sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  explore,
  type RaceDefinition,
  type RaceOptions,
  type RemedyName,
  type RemedyResult,
  race,
  raceHtml,
  renderReport,
} from '../../src/race/index.ts'
import { type FreshPool, freshPool, inTransaction } from '../support/postgres.ts'

let db: FreshPool
beforeAll(async () => {
  db = await freshPool()
  await db.pool.query(`
    create table account (id text primary key, balance int not null);
    create table doctor (id text primary key, on_call boolean not null);
    create table member (id serial primary key, email text not null);
    create table room (id int primary key, seats int not null);
    create table booking (id serial primary key, room int not null)`)
})
afterAll(() => db.drop())

const SETUP = `delete from account; delete from doctor; delete from member; delete from booking; delete from room;
  insert into account values ('a', 100), ('b', 100); insert into doctor values ('ann', true), ('ben', true);
  insert into room values (7, 1)`

async function look(tasks: RaceDefinition['tasks'], options: RaceOptions = {}) {
  const definition: RaceDefinition = { store: db.pool, setup: (on) => on.query(SETUP), tasks }
  const report = await explore(race('test', definition), options)
  const remedies = new Map(report.finding?.remedies.map((tried) => [tried.remedy, tried]))
  return { report, of: (name: RemedyName) => remedies.get(name) as RemedyResult }
}

const READ = `select balance from account where id = 'a'`
const add = (by: number) => async () => {
  const { rows } = await db.pool.query(READ)
  await db.pool.query(`update account set balance = $1 where id = 'a'`, [rows[0].balance + by])
}

const CLEAN = { result: 'removes', exhaustive: true }

describe('what removes', () => {
  it('a lost update without a transaction: one with a lock, a version, or SERIALIZABLE', async () => {
    const { of, report } = await look({ alice: add(10), bob: add(20) })
    expect(of('row lock')).toMatchObject({
      ...CLEAN,
      how: 'FOR UPDATE at steps 1 and 2; alice, bob in one transaction each',
    })
    expect(of('version check')).toMatchObject(CLEAN)
    expect(of('serializable')).toMatchObject(CLEAN)
    expect(of('unique constraint')).toMatchObject({ result: 'not tried' })
    expect(renderReport(report)).toMatch(
      /row lock +removes it: \d+ runs clean, every schedule among them \(FOR UPDATE/,
    )
    expect(raceHtml([report], { title: 'x' }).match(/<tr class="good">/g)).toHaveLength(3)
  })

  it('a lost update of a read before the transaction: not the lock, which ends with its statement', async () => {
    const late = (by: number) => async () => {
      const { rows } = await db.pool.query(READ)
      await inTransaction(db.pool, (on) =>
        on.query(`update account set balance = $1 where id = 'a'`, [rows[0].balance + by]),
      )
    }
    const { of } = await look({ alice: late(10), bob: late(20) })
    expect(of('row lock')).toMatchObject({ result: 'does not remove', anomaly: 'lost update' })
    expect(of('serializable')).toMatchObject({ result: 'does not remove', anomaly: 'lost update' })
    expect(of('version check')).toMatchObject(CLEAN)
  })

  it('a lost update in a store of Holdfast, whose BEGIN travels with the first statement', async () => {
    const store = postgres(db.pool)
    const inStore = (by: number) => () =>
      store.transaction(async (tx) => {
        const [row] = await tx.query<{ balance: number }>(sql`select balance from account where id = ${'a'}`)
        await tx.execute(sql`update account set balance = ${(row?.balance ?? 0) + by} where id = ${'a'}`)
      })
    const { of, report } = await look({ alice: inStore(10), bob: inStore(20) })
    expect(renderReport(report)).toContain('begin; select balance')
    expect(of('row lock')).toMatchObject({ ...CLEAN, how: 'FOR UPDATE at steps 1 and 2' })
    expect(of('version check')).toMatchObject(CLEAN)
    expect(of('serializable')).toMatchObject(CLEAN)
  })

  it('write skew: the rows that were read, or SERIALIZABLE', async () => {
    const goHome = (id: string) => () =>
      inTransaction(db.pool, async (on) => {
        const { rows } = await on.query('select id from doctor where on_call')
        if (rows.length > 1) await on.query('update doctor set on_call = false where id = $1', [id])
      })
    const { of } = await look({ ann: goHome('ann'), ben: goHome('ben') })
    expect(of('row lock')).toMatchObject(CLEAN)
    expect(of('serializable')).toMatchObject(CLEAN)
    expect(of('version check')).toMatchObject({ result: 'not tried' })
  })

  it('a check before an insert: a unique key, and not a lock on a row that is not there', async () => {
    const join = async () => {
      const { rows } = await db.pool.query('select id from member where email = $1', ['ann@x'])
      if (rows.length === 0) await db.pool.query('insert into member (email) values ($1)', ['ann@x'])
    }
    const { of } = await look({ first: join, second: join })
    expect(of('row lock')).toMatchObject({ result: 'does not remove', anomaly: 'check-then-insert' })
    expect(of('unique constraint')).toMatchObject({ ...CLEAN, how: 'UNIQUE (email) on member' })
    expect(of('serializable')).toMatchObject(CLEAN)
    const { rows } = await db.pool.query(`select from pg_class where relname like 'holdfast_race%'`)
    expect(rows).toEqual([])
  })

  it('a phantom: the row with the limit, and not a unique key', async () => {
    const book = () =>
      inTransaction(db.pool, async (on) => {
        const { rows: rooms } = await on.query('select seats from room where id = 7')
        const { rows } = await on.query('select count(*)::int as taken from booking where room = 7')
        if (rows[0].taken < rooms[0].seats) await on.query('insert into booking (room) values (7)')
      })
    const { of } = await look({ first: book, second: book })
    expect(of('row lock')).toMatchObject({ ...CLEAN, how: 'FOR UPDATE at steps 2 and 5' })
    expect(of('serializable')).toMatchObject({ result: 'removes' })
    expect(of('unique constraint')).toMatchObject({ reason: expect.stringContaining('how many') })
  })

  it('a deadlock: another try, and not SERIALIZABLE; of the order it says which', async () => {
    const transfer = (from: string, to: string) => () =>
      inTransaction(db.pool, async (on) => {
        await on.query('update account set balance = balance - 1 where id = $1', [from])
        await on.query('update account set balance = balance + 1 where id = $1', [to])
      })
    const { of } = await look({ ab: transfer('a', 'b'), ba: transfer('b', 'a') })
    expect(of('retry')).toMatchObject(CLEAN)
    expect(of('serializable')).toMatchObject({ result: 'does not remove', anomaly: 'deadlock' })
    expect(of('ordered locking')).toMatchObject({
      reason: `the code has to be changed: let every task lock account where id = 'a', then account where id = 'b'`,
    })
  })

  it('is not said of statements that cannot be put into one transaction', async () => {
    const other = new pg.Pool({ connectionString: db.url })
    const past = (by: number) => async () => {
      const { rows } = await other.query(READ)
      await other.query(`update account set balance = $1 where id = 'a'`, [rows[0].balance + by])
    }
    try {
      const { of } = await look({ alice: past(10), bob: past(20) })
      expect(of('row lock')).toMatchObject({ reason: expect.stringContaining('past the pool') })
      expect(of('version check')).toMatchObject(CLEAN)
    } finally {
      await other.end()
    }
  })

  it('nothing that makes the tasks fail: the serial orders have to end as before', async () => {
    await db.pool.query(
      'create or replace view balance as select id, max(balance) as balance from account group by id',
    )
    const viewed = (by: number) => async () => {
      const { rows } = await db.pool.query(`select balance from balance where id = 'a'`)
      await db.pool.query(`update account set balance = $1 where id = 'a'`, [rows[0].balance + by])
    }
    const { of } = await look({ alice: viewed(10), bob: viewed(20) })
    expect(of('row lock')).toMatchObject({
      result: 'does not remove',
      anomaly: undefined,
      explanation: 'alice, then bob ends otherwise with it',
    })
  })
})

describe('trying remedies', () => {
  const tasks = { alice: add(10), bob: add(20) }

  it('gives the same answers again, out of what the search has left of its schedules', async () => {
    const [once, again] = [await look(tasks), await look(tasks)]
    expect(again.report.finding?.remedies).toEqual(once.report.finding?.remedies)
    const few = await look(tasks, { schedules: once.report.coverage.schedules + 30 })
    expect(few.of('row lock')).toMatchObject({ result: 'removes', schedules: 30, exhaustive: false })
    expect(few.of('serializable')).toEqual({
      remedy: 'serializable',
      result: 'not tried',
      reason: 'the budget of the search is spent',
    })
  })

  it('is left out when it is not wanted, and of a replay', async () => {
    const { report } = await look(tasks, { remedies: false })
    expect(report.finding?.remedies).toEqual([])
    const replayed = await look(tasks, { replay: report.finding?.schedule as string })
    expect(replayed.report.finding?.remedies).toEqual([])
  })
})
