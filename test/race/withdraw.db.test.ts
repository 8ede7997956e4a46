/** The explorer on the README's `withdraw`, with plain `pg`: found, named, replayed, and clean once it is repaired. */
import { once } from 'node:events'
import { connect } from 'node:net'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sql } from '../../src/index.ts'
import {
  assertSerializable,
  explore,
  type RaceFoundError,
  type RaceOptions,
  race,
  raceHtml,
  renderReport,
} from '../../src/race/index.ts'
import { postgres } from '../../src/store/postgres/index.ts'
import { type FreshPool, freshPool, inTransaction as inTransactionOn } from '../support/postgres.ts'

let db: FreshPool
let pool: pg.Pool
beforeAll(async () => {
  db = await freshPool()
  pool = db.pool
  await pool.query('create table account (id text primary key, balance int not null)')
  await pool.query('create table slot (id serial primary key, room text, who text)')
  await pool.query('create table doctor (name text primary key, on_call boolean not null)')
})
afterAll(() => db.drop())

async function setup(on: { query(text: string): Promise<unknown> }): Promise<void> {
  await on.query(
    `delete from account; insert into account values ('a', 100), ('b', 100); delete from slot;
     delete from doctor; insert into doctor values ('ann', true), ('ben', true)`,
  )
}

async function withdraw(account: string, amount: number): Promise<void> {
  const { rows } = await pool.query('select balance from account where id = $1', [account])
  const left = rows[0].balance - amount
  if (left < 0) throw new Error('not enough money')
  await pool.query('update account set balance = $1 where id = $2', [left, account])
}

const inTransaction = <T>(work: (client: pg.PoolClient) => Promise<T>, begin?: string): Promise<T> =>
  inTransactionOn(pool, work, begin)

function look(tasks: Record<string, () => unknown>, options: RaceOptions = {}) {
  return explore(race('test', { store: pool, setup, tasks, options: { remedies: false, ...options } }))
}

describe('withdraw', () => {
  const tasks = { alice: () => withdraw('a', 80), bob: () => withdraw('a', 50) }

  it('loses an update within 50 schedules for 20 of 20 seeds, with no assertion', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { finding, coverage } = await look(tasks, { seed })
      expect(finding?.anomaly).toBe('lost update')
      expect(finding?.preemptions).toBe(1)
      expect(coverage.schedules).toBeLessThanOrEqual(50)
    }
  })

  it('fails a test with the report, by assertion', async () => {
    const two = race('two withdrawals', { store: pool, setup, tasks, options: { remedies: false } })
    const failed = (await assertSerializable(two).catch((error: unknown) => error)) as RaceFoundError
    expect(failed).toMatchObject({
      code: 'RACE_FOUND',
      message: expect.stringMatching(/LOST UPDATE[\s\S]*--replay r1:/),
    })
    const page = raceHtml([failed.report], { title: '<two>' })
    expect(page).toContain('&lt;two&gt;')
    expect(page.match(/<tr><th>\d+<\/th>/g)).toHaveLength(failed.report.finding?.steps.length ?? 0)
    expect(page).not.toMatch(/<script|src=|href=/)
  })

  it('is clean with the row lock, explored to the end', async () => {
    const store = postgres(pool)
    const locked = (amount: number) => () =>
      store.transaction(async (tx) => {
        const [row] = await tx.lockRows<{ balance: number }>('account', { id: 'a' })
        const left = (row?.balance ?? 0) - amount
        if (left < 0) throw new Error('not enough money')
        await tx.execute(sql`update account set balance = ${left} where id = ${'a'}`)
      })
    const report = await explore(
      race('locked', { store, setup, tasks: { alice: locked(80), bob: locked(50) } }),
    )
    expect(report.finding).toBeUndefined()
    expect(report.coverage.exhaustive).toBe(true)
  })
})

describe('the other classic races', () => {
  const book = (who: string) => async () => {
    const { rows } = await pool.query(`select 1 from slot where room = 'blue'`)
    if (rows.length === 0) await pool.query(`insert into slot (room, who) values ('blue', $1)`, [who])
  }
  it('check-then-insert', async () => {
    expect((await look({ a: book('a'), b: book('b') })).finding?.anomaly).toBe('check-then-insert')
  })
  it('two equal rows are not one, in the report either', async () => {
    const report = await look({ a: book('same'), b: book('same') })
    expect(report.finding?.anomaly).toBe('check-then-insert')
    expect(renderReport(report)).toMatch(/this schedule: 2 × .*same/)
  })

  const leave = (name: string, begin: string) => () =>
    inTransaction(async (client) => {
      const { rows } = await client.query('select name from doctor where on_call')
      if (rows.length > 1) await client.query('update doctor set on_call = false where name = $1', [name])
    }, begin)
  it('write skew, at REPEATABLE READ', async () => {
    const begin = 'begin isolation level repeatable read'
    expect((await look({ ann: leave('ann', begin), ben: leave('ben', begin) })).finding?.anomaly).toBe(
      'write skew',
    )
  })
  it('no write skew at SERIALIZABLE: a refused task leaves no effect', async () => {
    const begin = 'begin isolation level serializable'
    const report = await look({ ann: leave('ann', begin), ben: leave('ben', begin) })
    expect(report.finding).toBeUndefined()
    expect(report.coverage.exhaustive).toBe(true)
  })

  const transfer = (from: string, to: string) => () =>
    inTransaction(async (client) => {
      await client.query('update account set balance = balance - 1 where id = $1', [from])
      await client.query('update account set balance = balance + 1 where id = $1', [to])
    })
  it('deadlock, with who waits for whom', async () => {
    const report = await look({ ab: transfer('a', 'b'), ba: transfer('b', 'a') })
    const { finding } = report
    expect(finding?.anomaly).toBe('deadlock')
    expect(finding?.deadlock).toMatchObject([
      { task: 'ab', waitsFor: ['ba'] },
      { task: 'ba', waitsFor: ['ab'] },
    ])
    const page = raceHtml([report], { title: 'deadlock' })
    expect(page.match(/<td class="[^"]*\bwaits\b[^"]*"/g)).toHaveLength(2)
    expect(page).toMatch(/waits for ba[\s\S]*ERROR 40P01/)
    expect(page).toMatch(/rowspan="\d+">(?:(?!<td)[\s\S])*waits for ab until step \d+/)
  })
  it('no deadlock when both lock in one order', async () => {
    const report = await look({ one: transfer('a', 'b'), two: transfer('a', 'b') })
    expect(report.finding).toBeUndefined()
    expect(report.coverage.exhaustive).toBe(true)
  })

  const count = (begin: string) => () =>
    inTransaction(async (client) => {
      const first = await client.query('select count(*)::int as n from slot')
      const second = await client.query('select count(*)::int as n from slot')
      return [first.rows[0].n, second.rows[0].n]
    }, begin)
  const add = () => pool.query(`insert into slot (room) values ('red')`).then(() => {})
  it('phantom', async () => {
    expect((await look({ count: count('begin'), add })).finding?.anomaly).toBe('phantom')
  })
  it('no phantom at REPEATABLE READ', async () => {
    const report = await look({ count: count('begin isolation level repeatable read'), add })
    expect(report.finding).toBeUndefined()
    expect(report.coverage.exhaustive).toBe(true)
  })
})

describe('what is not a statement', () => {
  it('a pause between two tries is explored, not waited for', async () => {
    const slow = async () => {
      await new Promise((resolve) => setTimeout(resolve, 3_000))
      await pool.query('update account set balance = balance - 1 where id = $1', ['a'])
    }
    const report = await look({ slow, quick: () => withdraw('b', 1) })
    expect(report.finding).toBeUndefined()
    expect(report.coverage.exhaustive).toBe(true)
  })

  it('a pool that two tasks need twice is a deadlock', async () => {
    const small = new pg.Pool({ connectionString: db.url, max: 2 })
    try {
      const nested = async () => {
        const outer = await small.connect()
        try {
          await outer.query('select 1')
          const inner = await small.connect()
          inner.release()
        } finally {
          outer.release()
        }
      }
      const { finding } = await explore(
        race('pool', { store: small, setup, tasks: { a: nested, b: nested }, options: { remedies: false } }),
      )
      expect(finding?.anomaly).toBe('deadlock')
    } finally {
      await small.end()
    }
  })

  it('a network call fails with where it began', async () => {
    const { hostname, port } = new URL(db.url)
    const call = async () => {
      const socket = connect(Number(port), hostname)
      await once(socket, 'close')
    }
    await expect(look({ call, other: () => withdraw('a', 1) })).rejects.toMatchObject({
      code: 'RACE_UNCONTROLLED_AWAIT',
      cause: { stack: expect.stringContaining('withdraw.db.test.ts') },
    })
  })

  it('a lock held by a session outside of the tasks fails, it does not hang', async () => {
    const outside = new pg.Client({ connectionString: db.url })
    await outside.connect()
    const blocked = async () => void (await pool.query('select pg_advisory_lock(42)'))
    await outside.query('select pg_advisory_lock(42)')
    try {
      const search = look({ blocked, other: () => withdraw('a', 1) }, { stallMs: 300 })
      await expect(search).rejects.toMatchObject({
        code: 'RACE_UNCONTROLLED_AWAIT',
        message: expect.stringContaining('pg_advisory_lock'),
      })
    } finally {
      await outside.query('select pg_advisory_unlock(42)')
      await outside.end()
    }
  })

  it('a lock that hides in a function is seen, by whom it is held, and as a deadlock where it is one', async () => {
    await pool.query(`
      create function grab(int) returns void language sql as 'select pg_advisory_lock($1)';
      create function let_go(int) returns bool language sql as 'select pg_advisory_unlock($1)'`)
    const both = (first: number, second: number) => async () => {
      const client = await pool.connect()
      try {
        for (const key of [first, second]) await client.query('select grab($1)', [key])
        await client.query(`update account set balance = balance - 1 where id = 'a'`)
      } finally {
        for (const key of [first, second]) await client.query('select let_go($1)', [key])
        client.release()
      }
    }
    const options = { stallMs: 3_000, schedules: 40, remedies: false }
    const ordered = await look({ one: both(1, 2), two: both(1, 2) }, options)
    expect(ordered.finding).toBeUndefined()
    const crossed = await look({ one: both(1, 2), two: both(2, 1) }, options)
    expect(crossed.finding).toMatchObject({
      anomaly: 'deadlock',
      deadlock: [
        { task: 'one', waitsFor: ['two'] },
        { task: 'two', waitsFor: ['one'] },
      ],
    })
  })

  it('a transaction that a task leaves open does not hold up the next schedule', async () => {
    const careless = async () => {
      const client = await pool.connect()
      try {
        await client.query('begin')
        await client.query(`update account set balance = 0 where id = 'a'`)
        throw new Error('forgets to roll back')
      } finally {
        client.release()
      }
    }
    const report = await look({ careless, other: () => withdraw('b', 1) }, { schedules: 20 })
    expect(report.finding?.explanation).toBeUndefined()
  })

  it('a promise that nobody resolves fails, it does not hang', async () => {
    await expect(
      look({ never: () => new Promise(() => {}), other: () => withdraw('a', 1) }),
    ).rejects.toMatchObject({
      code: 'RACE_UNCONTROLLED_AWAIT',
    })
  })
})
