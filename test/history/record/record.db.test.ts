import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { checkHistory, record } from '../../../src/history/index.ts'
import { kindOf } from '../../../src/history/record/statement-kind.ts'
import { createOutbox } from '../../../src/outbox/index.ts'
import { postgres } from '../../../src/store/postgres/index.ts'
import { allTables, migrate } from '../../../src/tables/index.ts'
import { freshDatabase } from '../../support/postgres.ts'

let pool: pg.Pool
let drop: () => Promise<void>

beforeAll(async () => {
  const database = await freshDatabase()
  pool = new pg.Pool({ connectionString: database.url, max: 4 })
  drop = async () => {
    await pool.end()
    await database.drop()
  }
  await pool.query('create table account (id text primary key, balance int not null, version int not null)')
})
afterAll(() => drop())
beforeEach(async () => {
  await pool.query('delete from account')
  await pool.query("insert into account values ('a', 100, 1), ('b', 100, 1)")
})

/** The README's withdraw, kept in one transaction, which does not help: both read before either writes. */
async function withdrawTwice(): Promise<void> {
  const [one, two] = [await pool.connect(), await pool.connect()]
  try {
    for (const client of [one, two]) {
      await client.query('begin')
      await client.query("select id, balance, version from account where id = 'a'")
    }
    await one.query("update account set balance = 20, version = 2 where id = 'a' returning id, version")
    await one.query('commit')
    await two.query("update account set balance = 50, version = 3 where id = 'a' returning id, version")
    await two.query('commit')
  } finally {
    one.release()
    two.release()
  }
}

it('a lost update is found in what was recorded', async () => {
  const recording = await record(pool, { versions: { account: 'version' } })
  await withdrawTwice()
  recording.stop()
  const verdict = checkHistory(
    { events: recording.events() },
    { model: 'rw-register', level: 'snapshot-isolation' },
  )
  expect(verdict).toMatchObject({ verdict: 'invalid' })
  expect(verdict.anomalies[0]?.explanation).toMatch(/account\/a/)
})

it('the same with a row lock is serializable', async () => {
  const recording = await record(pool, { versions: { account: 'version' } })
  const withdraw = async (amount: number): Promise<void> => {
    const client = await pool.connect()
    try {
      await client.query('begin')
      const { rows } = await client.query("select * from account where id = 'a' for update")
      await client.query(
        "update account set balance = $1, version = version + 1 where id = 'a' returning id, version",
        [rows[0].balance - amount],
      )
      await client.query('commit')
    } finally {
      client.release()
    }
  }
  await Promise.all([withdraw(10), withdraw(20), withdraw(30)])
  recording.stop()
  const events = recording.events()
  expect(events.filter((e) => e.type === 'ok')).toHaveLength(3)
  expect(checkHistory({ events }, { model: 'rw-register', level: 'strict-serializable' }).verdict).toBe(
    'valid',
  )
})

const ok = (events: readonly { type: string; value?: unknown }[]): unknown[] =>
  events.filter((e) => e.type === 'ok').map((e) => e.value)

it('sees reads and writes behind aliases, joins, arrays, callbacks and statements of their own', async () => {
  const recording = await record(pool, { versions: { account: 'version' } })
  await pool.query('select x.version as v, x.id as who from account x order by 2')
  await pool.query({ text: "select version, id from account where id = 'b'", rowMode: 'array' })
  await new Promise<void>((resolve, reject) =>
    pool.query("update account set version = 7 where id = 'a' returning *", (error) =>
      error ? reject(error) : resolve(),
    ),
  )
  await pool.query('select a.id, a.version from (values (1)) as v (n) left join account a on a.balance = v.n')
  recording.stop()
  await pool.query('select * from account')
  expect(ok(recording.events())).toEqual([
    [
      ['r', 'account/a', 1, 1],
      ['r', 'account/b', 1, 1],
    ],
    [['r', 'account/b', 1, 1]],
    [['w', 'account/a', 7, 7]],
  ])
})

it('what was rolled back did not happen, also to a savepoint or by a failure', async () => {
  const recording = await record(pool, { versions: { account: 'version' } })
  const write = (v: number): string =>
    `update account set version = ${v} where id = 'a' returning id, version`
  const client = await pool.connect()
  await client.query('begin')
  await client.query(write(2))
  await client.query('rollback')
  await client.query('begin')
  await client.query(write(3))
  await client.query('savepoint s')
  await client.query(write(4))
  await client.query('rollback to savepoint s')
  await client.query('commit')
  await client.query('begin')
  await client.query(write(5))
  await expect(client.query('select 1 / 0')).rejects.toThrow()
  await client.query('commit')
  client.release()
  recording.stop()
  const events = recording.events().filter((e) => e.type !== 'invoke')
  expect(events.map((e) => [e.type, e.value])).toEqual([
    ['fail', [['w', 'account/a', 2, 2]]],
    ['ok', [['w', 'account/a', 3, 3]]],
    ['fail', [['w', 'account/a', 5, 5]]],
  ])
})

it('a COMMIT without an answer is unknown', async () => {
  const recording = await record(pool, { versions: { account: 'version' } })
  const client = await pool.connect()
  client.on('error', () => {})
  await client.query('begin')
  const { rows } = await client.query('select pg_backend_pid() as pid')
  await client.query("update account set version = 2 where id = 'a' returning id, version")
  const lost = client.query('commit', [])
  ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  await expect(lost).rejects.toThrow()
  client.release(true)
  expect(rows).toHaveLength(1)
  recording.stop()
  expect(recording.events().map((e) => e.type)).toEqual(['invoke', 'info'])
})

describe('transactions of a Holdfast store', () => {
  const write = (v: number): string =>
    `update account set version = ${v} where id = 'a' returning id, version`

  it('are whole, though BEGIN and COMMIT travel with other statements', async () => {
    const store = postgres(pool)
    await migrate(store, allTables)
    const outbox = createOutbox(store, { topics: { t: {} } })
    const recording = await record(pool, { versions: { account: 'version' } })
    await store.transaction(async (tx) => {
      await tx.query("select id, version from account where id = 'a'")
      await tx.query(write(2))
      // The insert of what was published goes out with COMMIT.
      await outbox.publish(tx, { topic: 't', key: 'k', payload: 1 })
    })
    await store
      .transaction(async (tx) => {
        await tx.query(write(3))
        await outbox.publish(tx, { topic: 't', key: 'k', payload: 2 })
        throw new Error('no')
      })
      .catch(() => {})
    await store.transaction(async (tx) => {
      await tx.query("select id, version from account where id = 'b'")
    })
    recording.stop()
    const ends = recording.events().filter((e) => e.type !== 'invoke')
    expect(ends.map((e) => [e.type, e.value])).toEqual([
      [
        'ok',
        [
          ['r', 'account/a', 1, 1],
          ['w', 'account/a', 2, 2],
        ],
      ],
      ['fail', [['w', 'account/a', 3, 3]]],
      ['ok', [['r', 'account/b', 1, 1]]],
    ])
    expect(recording.unrecordedWrites).toBe(0)
  })

  it('fail where the statement that travels with COMMIT fails', async () => {
    const store = postgres(pool)
    const recording = await record(pool, { versions: { account: 'version' } })
    await pool.query('create table deferred (id int unique deferrable initially deferred)')
    const transaction = store.transaction(async (tx) => {
      await tx.query(write(2))
      await tx.query('insert into deferred values (1), (1)')
    })
    await expect(transaction).rejects.toThrow()
    await store.transaction((tx) => tx.query(write(5)))
    recording.stop()
    const ends = recording.events().filter((e) => e.type !== 'invoke')
    expect(ends.map((e) => [e.type, e.value])).toEqual([
      ['fail', [['w', 'account/a', 2, 2]]],
      ['ok', [['w', 'account/a', 5, 5]]],
    ])
  })
})

it('several statements in one text, chains, and a transaction that is prepared', async () => {
  const recording = await record(pool, { versions: { account: 'version' } })
  const write = (v: number): string =>
    `update account set version = ${v} where id = 'a' returning id, version`
  const client = await pool.connect()
  await client.query(`begin; ${write(2)}; commit`)
  await client.query(`${write(3)}; ${write(4)}`)
  await client.query('begin')
  await client.query(write(5))
  await client.query('commit and chain')
  await client.query(write(6))
  await client.query('rollback')
  await client.query('begin')
  await client.query(write(7))
  await client.query("prepare transaction 'recorded'")
  await client.query("commit prepared 'recorded'")
  await client.query(write(8))
  client.release()
  recording.stop()
  const ends = recording.events().filter((e) => e.type !== 'invoke')
  const w = (v: number) => ['w', 'account/a', v, v]
  expect(ends.map((e) => [e.type, e.value])).toEqual([
    ['ok', [w(2)]],
    ['ok', [w(3), w(4)]],
    ['ok', [w(5)]],
    ['fail', [w(6)]],
    ['info', [w(7)]],
    ['ok', [w(8)]],
  ])
})

it('counts writes whose version is not known', async () => {
  const recording = await record(pool, { versions: { account: 'version' } })
  await pool.query("update account set version = 2 where id = 'a'")
  await pool.query("delete from account where id = 'b'")
  await pool.query("select id, version from account where id = 'a'")
  recording.stop()
  expect(recording.unrecordedWrites).toBe(2)
  expect(
    checkHistory({ events: recording.events() }, { model: 'rw-register', level: 'serializable' }).verdict,
  ).toBe('valid')
})

it.each([
  [{ nowhere: 'version' }, /there is no table nowhere/],
  [{ account: 'revision' }, /table account has no column revision/],
  [{ account: { version: 'version', key: 'dish' } }, /table account has no column dish/],
  [{}, /versions must name at least one table/],
])('%j cannot be recorded', async (versions, problem) => {
  await expect(record(pool, { versions })).rejects.toThrow(problem)
})

describe('kindOf', () => {
  it.each([
    ['BEGIN isolation level serializable', 'begin'],
    ['-- why\n /* x */ start transaction', 'begin'],
    ['commit;', 'commit'],
    ['END', 'commit'],
    ['rollback', 'rollback'],
    ['ROLLBACK TRANSACTION TO SAVEPOINT a', 'rollback-to'],
    ['savepoint a', 'savepoint'],
    ["prepare transaction 'x'", 'prepare'],
    ["commit prepared 'x'", 'statement'],
    ['prepare p as select 1', 'statement'],
    ['select 1', 'statement'],
  ])('%s is %s', (text, kind) => {
    expect(kindOf(text)).toBe(kind)
  })
})
