import {
  CommitUnknownError,
  type Isolation,
  migrate,
  type Store,
  sql,
  type TransactionOptions,
} from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { storeTables } from 'holdfast/store'
import { type TcpProxy, tcpProxy } from 'holdfast/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Deadline } from '../../src/store/deadline.ts'
import { PostgresSession } from '../../src/store/postgres/postgres-session.ts'
import { type FreshPool, freshPool } from '../support/postgres.ts'
import { until } from '../support/wait.ts'

let database: FreshPool
let direct: Store
beforeAll(async () => {
  database = await freshPool({ max: 20 })
  direct = postgres(database.pool)
  await migrate(direct, [storeTables])
  await direct.execute('create table item (id int primary key, n int not null default 0)')
})
afterAll(() => database.drop())
beforeEach(() => direct.execute('truncate item'))

const put = (tx: Pick<Store, 'execute'>, id: number) => tx.execute(sql`insert into item (id) values (${id})`)
const ids = async (): Promise<number[]> =>
  (await direct.query<{ id: number }>('select id from item order by id')).map((row) => row.id)

/** Backends of this database that are in a transaction or wait for a lock, this query's own left out. */
const busyBackends = async (): Promise<number> => {
  const { rows } = await database.pool.query(
    `select count(*)::int as n from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'`,
  )
  return rows[0].n
}
const lockWaits = async (): Promise<number> => {
  const { rows } = await database.pool.query(
    `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  )
  return rows[0].n
}

describe('a connection cut around COMMIT', () => {
  let proxy: TcpProxy
  let pool: pg.Pool
  let store: Store
  let onCommit: ((piece: Buffer) => 'cut' | 'cut-after' | undefined) | undefined
  let cutReply = false
  beforeEach(async () => {
    const target = new URL(database.url)
    onCommit = undefined
    cutReply = false
    proxy = await tcpProxy({
      target: { host: target.hostname, port: Number(target.port) },
      onPiece: (piece, direction) => {
        if (direction === 'down') return cutReply ? 'cut' : undefined
        return piece.includes('commit\0') ? onCommit?.(piece) : undefined
      },
    })
    const through = new URL(database.url)
    through.port = String(proxy.port)
    pool = new pg.Pool({ connectionString: through.href })
    store = postgres(pool)
  })
  afterEach(async () => {
    await proxy.close()
    await pool.end()
  })

  it('autocommit without an answer is unknown, and has no COMMIT of its own', async () => {
    await store.read('select 1 as connected')
    cutReply = true
    const error = await store
      .autocommit(sql`insert into item (id) values (7) returning id`)
      .catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN', outcome: 'unknown' })
    await until(async () => (await ids()).includes(7), { what: 'the row that was written all the same' })
  })

  it('autocommit that found no connection has sent nothing, so it is not applied', async () => {
    const ended = new pg.Pool({ connectionString: database.url })
    await ended.end()
    const error = await postgres(ended)
      .autocommit(sql`insert into item (id) values (7)`)
      .catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'STORE_CLOSED', outcome: 'not-applied' })
  })

  const attempt = (options: TransactionOptions = {}): Promise<CommitUnknownError> =>
    store
      .transaction((tx) => put(tx, 1), { witness: true, ...options })
      .then(
        () => expect.unreachable('the commit went through'),
        (error) => error,
      )
  const UNKNOWN = { code: 'COMMIT_UNKNOWN', outcome: 'unknown', witnessed: true }

  it('before COMMIT reached the server: unknown, resolve says not-applied', async () => {
    onCommit = () => 'cut'
    const error = await attempt()
    expect(error).toMatchObject(UNKNOWN)
    expect(await direct.resolve(error)).toBe('not-applied')
    expect(await ids()).toEqual([])
  })

  it('after COMMIT reached the server, before the answer: unknown, resolve says applied', async () => {
    onCommit = () => {
      cutReply = true
      return undefined
    }
    const error = await attempt()
    expect(error).toMatchObject(UNKNOWN)
    expect(await direct.resolve(error)).toBe('applied')
    expect(await ids()).toEqual([1])
  })

  it('while COMMIT is delivered: unknown, and resolve agrees with what is stored', async () => {
    onCommit = () => 'cut-after'
    const error = await attempt()
    expect(error).toMatchObject(UNKNOWN)
    expect(await direct.resolve(error)).toBe((await ids()).length === 1 ? 'applied' : 'not-applied')
  })

  it('an answer that never comes is bounded by timeoutMs, and is unknown', async () => {
    onCommit = () => {
      proxy.blackHole('down')
      return undefined
    }
    const error = await attempt({ timeoutMs: 300 })
    expect(error).toMatchObject({ ...UNKNOWN, cause: { code: 'TRANSACTION_TIMEOUT' } })
    expect(await direct.resolve(error)).toBe('applied')
  })

  it('an abort while COMMIT is under way is unknown, with the reason as cause', async () => {
    const abort = new AbortController()
    const reason = new Error('stop')
    onCommit = () => {
      proxy.blackHole('down')
      abort.abort(reason)
      return undefined
    }
    const error = await attempt({ signal: abort.signal })
    expect(error).toMatchObject(UNKNOWN)
    expect(error.cause).toBe(reason)
  })

  it('while the lost transaction is still open at the server, resolve decides that it never will', async () => {
    onCommit = () => {
      proxy.blackHole() // COMMIT is swallowed, and the witness with it; the server keeps the transaction open
      return undefined
    }
    const error = await attempt({ timeoutMs: 300 })
    expect(error).toMatchObject(UNKNOWN)
    expect(await direct.resolve(error)).toBe('not-applied')
    await proxy.close()
    expect(await ids()).toEqual([])
  })

  it('while the witness is there and COMMIT still to come, resolve waits', async () => {
    const lost = await database.pool.connect()
    const error = new CommitUnknownError('slow', true, Date.now(), { cause: undefined })
    await lost.query('begin')
    await lost.query(
      "insert into holdfast_witness (id, decision, decided_at_ms) values ('slow', 'applied', 1)",
    )
    const answer = direct.resolve(error)
    await until(async () => (await lockWaits()) === 1, { what: 'resolve to wait for the open transaction' })
    await lost.query('commit')
    lost.release()
    expect(await answer).toBe('applied')
  })

  it('a connection lost in the middle of the work is not-applied, and is not tried again', async () => {
    let runs = 0
    const failed = store.transaction(async (tx) => {
      runs++
      await put(tx, 1)
      proxy.cut()
      await put(tx, 2)
    })
    await expect(failed).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', outcome: 'not-applied' })
    expect(runs).toBe(1)
    expect(await ids()).toEqual([])
    expect(await store.query('select 1 as one')).toEqual([{ one: 1 }])
  })

  it('a connection known to be lost before COMMIT was sent is not-applied', async () => {
    const failed = store.transaction(async (tx) => {
      await put(tx, 1)
      const [row] = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
      const lost = new Promise((resolve) => pool.once('remove', resolve).once('error', resolve))
      await database.pool.query('select pg_terminate_backend($1)', [row?.pid])
      await Promise.race([lost, until(async () => (await backendAlive(row?.pid)) === false)])
      await until(() => proxy.connections === 0)
    })
    await expect(failed).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', outcome: 'not-applied' })
    expect(await ids()).toEqual([])
  })

  it('a server that cannot be reached is said so', async () => {
    proxy.refuse()
    await expect(store.query('select 1')).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      outcome: 'not-applied',
    })
    proxy.heal()
    expect(await store.query('select 1 as one')).toEqual([{ one: 1 }])
  })

  it('a server that says nothing more costs timeoutMs and a bounded while, and its connection is dropped', async () => {
    const startMs = performance.now()
    const failed = store.transaction(
      async (tx) => {
        await put(tx, 1)
        proxy.blackHole()
        await put(tx, 2)
      },
      { timeoutMs: 200 },
    )
    await expect(failed).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT', outcome: 'not-applied' })
    expect(performance.now() - startMs).toBeLessThan(4000)
    expect(pool.totalCount).toBe(0)
  })
})

const backendAlive = async (pid: number | undefined): Promise<boolean> =>
  (await database.pool.query('select 1 from pg_stat_activity where pid = $1', [pid])).rowCount === 1

describe('stopping a statement at the server', () => {
  /** Holds row 1 in a connection of its own. */
  async function holdRow(): Promise<() => Promise<void>> {
    await direct.execute('insert into item (id) values (1) on conflict do nothing')
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    await client.query('begin')
    await client.query('select * from item where id = 1 for update')
    return () => client.end()
  }
  const stuck = (options: TransactionOptions) =>
    direct.transaction(async (tx) => {
      await put(tx, 2)
      await tx.execute('update item set n = 1 where id = 1')
    }, options)

  it.each([
    ['a timeout', { timeoutMs: 150 }, { code: 'TRANSACTION_TIMEOUT' }],
    ['an abort', undefined, { message: 'stop' }],
  ] as const)('%s leaves no backend that waits or holds', async (_name, given, expected) => {
    const letGo = await holdRow()
    const abort = new AbortController()
    const failed = stuck(given ?? { signal: abort.signal })
    const ended = expect(failed).rejects.toMatchObject(expected)
    await until(async () => (await lockWaits()) === 1)
    if (given === undefined) abort.abort(new Error('stop'))
    await ended
    expect(await lockWaits()).toBe(0)
    expect(await busyBackends()).toBe(1) // the holder
    await put(direct, 2) // its key is free again
    await letGo()
  })

  it('the connection of a stopped statement is used again, and no cancel reaches its next user', async () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    const store = postgres(pool)
    const letGo = await holdRow()
    const pids = new Set<number>()
    for (let i = 0; i < 60; i++) {
      const abort = new AbortController()
      const stopped = store
        .transaction((tx) => tx.execute('update item set n = 1 where id = 1'), { signal: abort.signal })
        .catch((error) => error)
      if (i % 3 === 0) await until(async () => (await lockWaits()) === 1, { everyMs: 1 })
      else for (let turn = 0; turn < i % 7; turn++) await new Promise(setImmediate)
      abort.abort(new Error('stop'))
      expect((await stopped).message).toBe('stop')
      const { rows } = await pool.query('select pg_backend_pid() as pid, pg_sleep(0.01)')
      pids.add(rows[0].pid)
    }
    expect(pids.size).toBeLessThan(10)
    await letGo()
    await pool.end()
  })

  it('a cancel request that is slow is waited for before the connection has another user', async () => {
    const target = new URL(database.url)
    await using slow = await tcpProxy({ target: { host: target.hostname, port: Number(target.port) } })
    slow.delay(100)
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    // Only the cancel request takes the slow way.
    const store = postgres({ connect: async () => Object.assign(await pool.connect(), { port: slow.port }) })
    const letGo = await holdRow()
    const abort = new AbortController()
    const stopped = store
      .transaction((tx) => tx.execute('update item set n = 1 where id = 1'), { signal: abort.signal })
      .catch((error) => error)
    await until(async () => (await lockWaits()) === 1)
    abort.abort(new Error('stop'))
    await letGo() // the statement ends by itself, before the request arrives
    const next = pool.query('select pg_sleep(0.3)')
    expect((await stopped).message).toBe('stop')
    await next
    await pool.end()
  })

  it('when the cancel request cannot be made, the connection is dropped, within a bound', async () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    const store = postgres({
      connect: async () => Object.assign(await pool.connect(), { port: 1 }),
    })
    const letGo = await holdRow()
    const failed = store.transaction((tx) => tx.execute('update item set n = 1 where id = 1'), {
      timeoutMs: 100,
    })
    await expect(failed).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT' })
    expect(pool.totalCount).toBe(0)
    await letGo()
    await pool.end()
  })
})

describe('the pool', () => {
  it('that is exhausted is bounded by timeoutMs, and what arrives late is given back', async () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    const store = postgres(pool)
    const taken = await pool.connect()
    const failed = store.transaction((tx) => tx.query('select 1'), { timeoutMs: 60 })
    await expect(failed).rejects.toMatchObject({ code: 'TRANSACTION_TIMEOUT', outcome: 'not-applied' })
    taken.release()
    await until(() => pool.idleCount === 1 && pool.waitingCount === 0)
    expect(await store.query('select 1 as one')).toEqual([{ one: 1 }])
    await pool.end()
  })

  it('keeps its last connection back for what is urgent, and lets the others wait', async () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 4 })
    const store = postgres(pool)
    let open = (): void => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    let inside = 0
    const others = Array.from({ length: 12 }, (_, id) =>
      store.transaction(async (tx) => {
        await put(tx, id)
        inside += 1
        await gate
      }),
    )
    await until(() => inside === 3)
    expect(await store.transaction((tx) => tx.query('select 1 as one'), { urgent: true })).toEqual([
      { one: 1 },
    ])
    expect(inside).toBe(3)
    open()
    await Promise.all(others)
    expect(inside).toBe(12)
    await pool.end()
  })

  it('gives the turn of a transaction that could not be opened, or whose time was over, to the next', async () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 4 })
    const store = postgres(pool)
    const taken = await Promise.all([1, 2, 3, 4].map(() => pool.connect()))
    const late = Array.from({ length: 9 }, () =>
      store.transaction((tx) => tx.query('select 1'), { timeoutMs: 60 }).catch((error) => error.code),
    )
    expect(new Set(await Promise.all(late))).toEqual(new Set(['TRANSACTION_TIMEOUT']))
    for (const client of taken) client.release()
    const after = Array.from({ length: 9 }, () => store.query('select 1 as one'))
    expect(await Promise.all(after)).toHaveLength(9)
    await pool.end()
  })

  it('survives a checked-out connection that dies: no crash, an error, a fresh connection', async () => {
    const pool = new pg.Pool({ connectionString: database.url, max: 1 })
    const store = postgres(pool)
    const failed = store.transaction(async (tx) => {
      const [row] = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
      await database.pool.query('select pg_terminate_backend($1)', [row?.pid])
      await until(async () => !(await backendAlive(row?.pid)))
      await tx.query('select 1')
    })
    await expect(failed).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', outcome: 'not-applied' })
    expect(await store.query('select 1 as one')).toEqual([{ one: 1 }])
    await pool.end()
  })

  it('of another make (without Client) and one in pipeline mode work too', async () => {
    const plain = postgres({ connect: () => database.pool.connect() })
    await plain.transaction((tx) => put(tx, 1))
    const pool = new pg.Pool({ connectionString: database.url, ...{ pipeline: true } })
    const pipelined = postgres(pool)
    await pipelined.transaction(async (tx) => {
      await Promise.all([put(tx, 2), put(tx, 3)])
      await tx.transaction((inner) => put(inner, 2)).catch(() => {})
    })
    expect(await ids()).toEqual([1, 2, 3])
    await pool.end()
  })
})

describe('BEGIN with the first statement', () => {
  let pool: pg.Pool
  let store: Store
  beforeEach(() => {
    pool = new pg.Pool({ connectionString: database.url, max: 1 })
    store = postgres(pool)
  })
  afterEach(() => pool.end())

  it('a first statement that fails, at any stage, leaves the connection as good as before', async () => {
    const stages = [
      [sql`insert into item (id) values (${1})`, { code: 'CONSTRAINT_VIOLATED' }], // executes, and the key refuses it
      [sql`insert into nowhere (id) values (${1})`, { sqlState: '42P01' }], // fails to parse
      [sql`select id from item where id = ${'x'}::text::int`, { sqlState: '22P02' }], // fails to execute
      [sql`select id from item where n = ${'not a number'}`, { sqlState: '22P02' }], // fails to bind
    ] as const
    await put(store, 1)
    for (let round = 0; round < 3; round++) {
      for (const [statement, expected] of stages) {
        await expect(store.execute(statement)).rejects.toMatchObject({ ...expected, outcome: 'not-applied' })
      }
    }
    expect(await store.execute(sql`insert into item (id) values (${2})`)).toBe(1)
    expect(await store.query(sql`select id from item where n = ${0} order by id`)).toHaveLength(2)
    expect(await ids()).toEqual([1, 2])
  })

  it('a rollback undoes the first statement, so BEGIN was there before it', async () => {
    for (const first of ['insert into item (id) values (1)', sql`insert into item (id) values (${1})`]) {
      await store
        .transaction(async (tx) => {
          await tx.execute(first)
          throw new Error('undo')
        })
        .catch(() => {})
    }
    expect(await ids()).toEqual([])
  })

  it('when BEGIN itself is refused, the statement does not run', async () => {
    const client = await pool.connect()
    const deadline = new Deadline(30_000, () => new Error('late'), undefined)
    const session = new PostgresSession(
      client,
      pool,
      { prefix: 'holdfast_', prepare: true },
      {
        isolation: 'no-such-level' as Isolation,
        readOnly: false,
        alone: false,
        urgent: false,
        deadline,
      },
      () => {},
    )
    const statement = { text: 'insert into item (id) values ($1)', values: [1], prepare: true }
    await expect(session.run(statement)).rejects.toMatchObject({ sqlState: '42601' })
    await session.rollback()
    session.release(false)
    deadline.clear()
    expect(await ids()).toEqual([])
    expect(await store.execute(sql`insert into item (id) values (${1})`)).toBe(1)
  })

  it('several statements in one text run inside the transaction, and the last one answers', async () => {
    const failed = store.transaction(async (tx) => {
      const rows = await tx.query('insert into item (id) values (1); select count(*)::int as n from item')
      expect(rows).toEqual([{ n: 1 }])
      throw new Error('undo')
    })
    await expect(failed).rejects.toThrow('undo')
    expect(await ids()).toEqual([])
  })

  it('a table that changed under a prepared statement costs a run, not the connection for ever', async () => {
    await store.execute('create table plan (id int, v int)')
    const read = () => store.query(sql`select id, v from plan where id = ${1}`)
    expect(await read()).toEqual([])
    await direct.execute('alter table plan alter column v type text')
    expect(await read()).toEqual([])
    await direct.execute('drop table plan')
  })
})
