import { type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { PgPoolLike } from '../../src/store/postgres/index.ts'
import { translatePostgresError } from '../../src/store/postgres/postgres-errors.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

let database: FreshPool
let store: Store
beforeAll(async () => {
  database = await freshPool()
  store = postgres(database.pool)
  await store.execute('create table parent (id int primary key)')
  await store.execute(
    `create table child (id int primary key, parent int references parent deferrable, n int not null check (n > 0),
       span int4range, exclude using gist (span with &&))`,
  )
  await store.execute('insert into child (id, n, span) values (1, 1, int4range(1, 5))')
})
afterAll(() => database.drop())

type Case = readonly [
  sqlState: string,
  provoke: () => Promise<unknown>,
  expected: Readonly<Record<string, unknown>>,
]
const once = { retries: 0 } as const
const failed = (provoke: () => Promise<unknown>): Promise<Record<string, unknown>> =>
  provoke().then(
    () => expect.unreachable('it went through'),
    (error) => error,
  )
const inTransaction = (...texts: string[]) =>
  store.transaction(async (tx) => {
    for (const text of texts) await tx.query(text)
  }, once)
const raise = (sqlState: string) => () =>
  inTransaction(`do $$ begin raise exception 'row 4711' using errcode = '${sqlState}'; end $$`)
const login = (change: (url: URL) => void) => async () => {
  const url = new URL(database.url)
  change(url)
  const pool = new pg.Pool({ connectionString: url.href })
  try {
    return await postgres(pool).query('select 1')
  } finally {
    await pool.end()
  }
}
/** Ends the connection in the middle of a transaction with a setting of the server. */
const endedBy = (setting: string) => () =>
  store.transaction(async (tx) => {
    await tx.query(`set local ${setting} = '30ms'`)
    const [row] = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
    await until(
      async () =>
        (await database.pool.query('select from pg_stat_activity where pid = $1', [row?.pid])).rowCount === 0,
    )
    await tx.query('select 1')
  }, once)

const UNAVAILABLE = { code: 'STORE_UNAVAILABLE', outcome: 'not-applied' }

const CASES: readonly Case[] = [
  [
    '40001',
    async () => {
      await store.execute('insert into parent values (40) on conflict do nothing')
      await store.transaction(
        async (tx) => {
          await tx.query('select * from parent')
          await database.pool.query('update parent set id = id where id = 40')
          await tx.query('update parent set id = id where id = 40')
        },
        { ...once, isolation: 'repeatable-read' },
      )
    },
    { code: 'SERIALIZATION_FAILURE', outcome: 'not-applied' },
  ],
  ['40P01', raise('40P01'), { code: 'DEADLOCK' }], // a real one: postgres-locks.db.test.ts
  ['40003', raise('40003'), UNAVAILABLE],
  [
    '55P03',
    async () => {
      const client = await database.pool.connect()
      await client.query('begin; lock table parent in access exclusive mode')
      await inTransaction("set local lock_timeout = '20ms'", 'select * from parent').finally(async () => {
        await client.query('rollback')
        client.release()
      })
    },
    { code: 'LOCK_TIMEOUT', waitMs: undefined },
  ],
  [
    '57014',
    () => inTransaction("set local statement_timeout = '20ms'", 'select pg_sleep(5)'),
    { code: 'TRANSACTION_TIMEOUT', timeoutMs: undefined },
  ],
  [
    '25P02',
    () =>
      store.transaction(async (tx) => {
        await tx.query('selec').catch(() => {})
        await tx.query('select 1')
      }, once),
    { code: 'TRANSACTION_ABORTED' },
  ],
  [
    'COMMIT answered with ROLLBACK',
    () =>
      store.transaction(async (tx) => {
        await tx.query('selec').catch(() => {})
      }, once),
    { code: 'TRANSACTION_ABORTED', outcome: 'not-applied' },
  ],
  ['25P03', endedBy('idle_in_transaction_session_timeout'), UNAVAILABLE],
  ['25P03', raise('25P03'), UNAVAILABLE],
  ['25P04', raise('25P04'), UNAVAILABLE],
  ['57P01', () => inTransaction('select pg_terminate_backend(pg_backend_pid())'), UNAVAILABLE],
  ['57P02', raise('57P02'), UNAVAILABLE],
  ['57P03', raise('57P03'), UNAVAILABLE],
  ['57P05', raise('57P05'), UNAVAILABLE],
  ['53300', raise('53300'), UNAVAILABLE],
  ['53', raise('53100'), UNAVAILABLE],
  ['58', raise('58030'), UNAVAILABLE],
  ['08', raise('08006'), UNAVAILABLE],
  ['28', login((url) => (url.username = 'nobody_at_all')), UNAVAILABLE],
  ['3D000', login((url) => (url.pathname = '/no_such_database')), UNAVAILABLE],
  ['ECONNREFUSED', login((url) => (url.port = '1')), UNAVAILABLE],
  [
    '23505',
    () => inTransaction('insert into child (id, n) values (1, 1)'),
    { code: 'CONSTRAINT_VIOLATED', kind: 'unique', constraint: 'child_pkey' },
  ],
  [
    '23503',
    () => inTransaction('insert into child (id, n, parent) values (2, 1, 99)'),
    { code: 'CONSTRAINT_VIOLATED', kind: 'foreign-key', constraint: 'child_parent_fkey' },
  ],
  [
    '23503 at COMMIT',
    () =>
      inTransaction('set constraints all deferred', 'insert into child (id, n, parent) values (2, 1, 99)'),
    { code: 'CONSTRAINT_VIOLATED', kind: 'foreign-key', outcome: 'not-applied' },
  ],
  [
    '23514',
    () => inTransaction('insert into child (id, n) values (2, 0)'),
    { code: 'CONSTRAINT_VIOLATED', kind: 'check', constraint: 'child_n_check' },
  ],
  [
    '23502',
    () => inTransaction('insert into child (id, n) values (2, null)'),
    { code: 'CONSTRAINT_VIOLATED', kind: 'not-null' },
  ],
  [
    '23P01',
    () => inTransaction('insert into child (id, n, span) values (2, 1, int4range(2, 3))'),
    { code: 'CONSTRAINT_VIOLATED', kind: 'exclusion' },
  ],
  [
    '25006',
    () => store.transaction((tx) => tx.execute('insert into parent values (7)'), { ...once, readOnly: true }),
    { code: 'STATEMENT_FAILED', sqlState: '25006' },
  ],
  [
    '42501',
    () =>
      inTransaction(
        'create role holdfast_no_rights',
        'set local role holdfast_no_rights',
        'select * from parent',
      ),
    { code: 'STATEMENT_FAILED', sqlState: '42501' },
  ],
  ['26000', () => inTransaction('execute nothing_prepared'), { code: 'STATEMENT_FAILED', sqlState: '26000' }],
  [
    '42P05',
    () => inTransaction('prepare twice as select 1', 'prepare twice as select 1'),
    { code: 'STATEMENT_FAILED', sqlState: '42P05' },
  ],
  ['0A000', raise('0A000'), { code: 'STATEMENT_FAILED', sqlState: '0A000' }],
  [
    '42P01 of our table',
    () => store.query(sql`select * from ${store.table('outbox')}`),
    { code: 'SCHEMA_REVISION', capability: 'outbox', found: 0 },
  ],
  ['42P01', () => inTransaction('select * from nothing'), { code: 'STATEMENT_FAILED', sqlState: '42P01' }],
  ['22P02', () => inTransaction(`select 'secret'::int`), { code: 'STATEMENT_FAILED', sqlState: '22P02' }],
]

describe('the error table of PostgreSQL', () => {
  it.each(CASES)('%s', async (_sqlState, provoke, expected) => {
    const error = await failed(provoke)
    expect(error).toMatchObject(expected)
    expect(String(error.message)).not.toMatch(/secret|4711/)
    expect(error.cause ?? error.code).toBeDefined()
    expect(await store.query('select 1 as one')).toEqual([{ one: 1 }])
  })

  it.each([
    ['Connection terminated unexpectedly'],
    ['Client has encountered a connection error and is not queryable'],
    ['timeout exceeded when trying to connect'],
    ['Query read timeout'],
  ])('"%s", which the driver says without a code, is a lost connection', (message) => {
    expect(translatePostgresError(new Error(message), 'statement', 'holdfast_')).toMatchObject(UNAVAILABLE)
    expect(translatePostgresError(new Error(message), 'commit', 'holdfast_')).toMatchObject({
      code: 'STORE_UNAVAILABLE',
      outcome: 'unknown',
    })
  })

  it('what is no error of the database passes unchanged', () => {
    const mine = new TypeError('mine')
    expect(translatePostgresError(mine, 'statement', 'holdfast_')).toBe(mine)
  })

  it('options that cannot work are refused', () => {
    expect(() => postgres({} as PgPoolLike)).toThrow(/must be a pg.Pool/)
    expect(() => postgres(new pg.Client() as never)).toThrow(/must be a pg.Pool/)
    expect(() => postgres(database.pool, { prefx: 'x' } as object)).toThrow(/unknown option "prefx"/)
    for (const options of [{ prefix: 5 }, { prefix: 'x'.repeat(33) }, { prefix: 'a\0' }, { schema: '' }]) {
      expect(() => postgres(database.pool, options as object)).toThrow(
        expect.objectContaining({ code: 'CONFIG_INVALID' }),
      )
    }
  })

  it('an ended pool is a closed store, and whatever else keeps the driver from connecting is said to be that', async () => {
    const ended = new pg.Pool({ connectionString: database.url })
    await ended.end()
    await expect(postgres(ended).query('select 1')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    const withTls = new pg.Pool({ connectionString: database.url, ssl: true })
    await expect(postgres(withTls).query('select 1')).rejects.toMatchObject(UNAVAILABLE)
    await withTls.end()
  })

  it('our tables are known in any language, and under any prefix and schema', () => {
    const missing = (message: string, prefix: string) =>
      translatePostgresError(
        Object.assign(new Error(message), { code: '42P01', severity: 'ERROR' }),
        'statement',
        prefix,
      )
    const ours = { code: 'SCHEMA_REVISION', capability: 'outbox' }
    expect(missing('relation "holdfast_outbox" does not exist', 'holdfast_')).toMatchObject(ours)
    expect(missing('relation "my.holdfast_outbox" does not exist', 'holdfast_')).toMatchObject(ours)
    expect(missing('Relation »holdfast_outbox« existiert nicht', 'holdfast_')).toMatchObject(ours)
    expect(missing('relation "my.outbox" does not exist', '')).toMatchObject(ours)
    expect(missing('relation "myholdfast_outbox" does not exist', 'holdfast_')).toMatchObject({
      code: 'STATEMENT_FAILED',
    })
  })
})
