import { writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { sqlite } from 'holdfast/sqlite'
import {
  type CommitUnknownError,
  type JoinedTransaction,
  migrate,
  type OwnTransaction,
  type Store,
  sql,
  storeTables,
} from 'holdfast/store'
import { failpoints } from 'holdfast/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SqliteDatabaseLike } from '../../src/store/sqlite/sqlite-client.ts'
import { type TempFolder, tempFolder } from '../support/files.ts'
import { startFixture } from '../support/process.ts'
import { openSqlite, sqliteDrivers } from '../support/sqlite.ts'

type Options = Partial<Parameters<typeof sqlite>[0]>
const worker = new URL('./fixtures/sqlite-worker.ts', import.meta.url)

describe.each(sqliteDrivers)('sqlite with %s', (driver) => {
  let folder: TempFolder
  let store: Store
  let opened: SqliteDatabaseLike[]
  const path = () => folder.file('db.sqlite')
  const make = (options: Options = {}): Store =>
    sqlite({
      open: () => {
        const handle = openSqlite(path(), driver)
        opened.push(handle)
        return handle as never
      },
      ...options,
    })
  beforeEach(async () => {
    folder = tempFolder('sqlite')
    opened = []
    store = make()
    await store.execute('create table item (id text primary key, amount integer not null)')
  })
  afterEach(async () => {
    failpoints.reset()
    await store.close()
    folder.remove()
  })
  const put = (tx: Pick<Store, 'execute'>, id: string, amount: number | bigint = 1) =>
    tx.execute(sql`insert into item (id, amount) values (${id}, ${amount})`)
  const ids = async (at: Pick<Store, 'query'> = store): Promise<string> =>
    (await at.query<{ id: string }>('select id from item order by id')).map((row) => row.id).join('')
  const codeOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'fulfilled',
      (e) => e.code ?? e,
    )
  const pragma = (handle: SqliteDatabaseLike, name: string) =>
    Object.values(handle.prepare(`pragma ${name}`).all()[0] as object)[0]

  it('every connection, readers too, has WAL, synchronous=FULL and no waiting of the driver', async () => {
    await Promise.all([1, 2, 3].map(() => store.transaction((tx) => ids(tx), { readOnly: true })))
    expect(opened.length).toBeGreaterThan(2)
    for (const handle of opened) {
      expect(pragma(handle, 'journal_mode')).toBe('wal')
      expect(Number(pragma(handle, 'synchronous'))).toBe(2)
      expect(Number(pragma(handle, 'busy_timeout'))).toBe(0)
    }
    const fast = make({ synchronous: 'normal' })
    await put(fast, 'x')
    expect(Number(pragma(opened.at(-1) as SqliteDatabaseLike, 'synchronous'))).toBe(1)
    await fast.close()
  })

  it('when SQLite itself rolls back, nothing more is written, though the error is swallowed', async () => {
    await put(store, 'a')
    const failed = store.transaction(async (tx) => {
      await put(tx, 'b')
      await tx.execute(`insert or rollback into item values ('a', 1)`).catch(() => {})
      expect(await codeOf(put(tx, 'c'))).toBe('TRANSACTION_ABORTED')
    })
    await expect(failed).rejects.toMatchObject({ code: 'TRANSACTION_ABORTED', outcome: 'not-applied' })
    expect(await ids()).toBe('a')
  })

  it('a joined transaction that read before another one wrote is refused as a serialization failure', async () => {
    await put(store, 'a')
    const mine = openSqlite(path(), driver)
    mine.exec('begin') // deferred: its snapshot is that of the first read, and it cannot become a writer later
    const joined = (work: (tx: JoinedTransaction) => Promise<unknown>) => store.join(mine, work)
    expect(await joined((tx) => ids(tx))).toBe('a')
    await put(store, 'b')
    await expect(joined((tx) => put(tx, 'c'))).rejects.toMatchObject({
      code: 'SERIALIZATION_FAILURE',
      outcome: 'not-applied',
    })
    mine.exec('rollback')
    mine.close()
    expect(await ids()).toBe('ab')
  })

  it('NaN and arrays are refused, since a driver would store something else', async () => {
    for (const value of [Number.NaN, [1, 2]]) {
      await expect(store.query(sql`select ${value} as x`)).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
    }
  })

  it('a driver that tells neither its state nor what a statement gives (node:sqlite before 22.16)', async () => {
    const old = make({ open: () => withoutWord(openSqlite(path(), driver)) as never })
    const failed = old.transaction(async (tx) => {
      await put(tx, 'a')
      throw new Error('undo')
    })
    await expect(failed).rejects.toThrow('undo')
    expect(await ids(old)).toBe('')
    const from = `with t as (select 'b' as id) `
    expect(await old.execute(`${from}insert into item select id, 1 from t`)).toBe(1)
    expect(await old.execute(`insert into item values ('returning', 1)`)).toBe(1)
    expect(await old.query(`${from}select id from t`)).toEqual([{ id: 'b' }])
    expect(await old.query(`insert into item values ('c', 1) returning id`)).toEqual([{ id: 'c' }])
    await expect(old.join(openSqlite(path(), driver), async () => {})).rejects.toThrow(/no transaction/)
    await old.close()
  })

  it('writers of one process go in order of arrival', async () => {
    const order: number[] = []
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store.transaction(async (tx) => {
          await put(tx, `${i}`)
          order.push(i)
          await new Promise(setImmediate)
        }),
      ),
    )
    expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i))
  })

  it('a reader sees one snapshot beside a writer, and neither waits', async () => {
    await put(store, 'a')
    await store.transaction(
      async (reader) => {
        expect(await ids(reader)).toBe('a')
        await put(store, 'b')
        expect(await ids(reader)).toBe('a')
      },
      { readOnly: true },
    )
    expect(await ids()).toBe('ab')
  })

  it('readers beyond readersMax wait for their turn, and connections are reused', async () => {
    let now = 0
    let most = 0
    await Promise.all(
      Array.from({ length: 12 }, () =>
        store.transaction(
          async (tx) => {
            await ids(tx)
            most = Math.max(most, ++now)
            await new Promise(setImmediate)
            now -= 1
          },
          { readOnly: true },
        ),
      ),
    )
    expect(most).toBe(4)
    expect(opened.length).toBe(5)
  })

  describe('BEGIN at the first statement', () => {
    it('work that touches nothing holds nothing', async () => {
      await store.transaction(async () => {
        await put(store, 'a')
      })
      expect(await ids()).toBe('a')
    })

    it('a transaction that failed while its statement waited for BEGIN writes nothing later', async () => {
      let letGo = (): void => {}
      let holder: Promise<void> | undefined
      await new Promise<void>((held) => {
        holder = store.transaction(async (tx) => {
          await put(tx, 'h')
          held()
          await new Promise<void>((resolve) => {
            letGo = resolve
          })
        })
      })
      const failed = store.transaction(async (tx) => {
        void put(tx, 'late')
        throw new Error('changed my mind')
      })
      await expect(failed).rejects.toThrow('changed my mind')
      letGo()
      await holder
      await put(store, 'x')
      expect(await ids()).toBe('hx')
    })

    it('a throw beside a statement that is not awaited, at every distance, writes nothing', async () => {
      for (let ticks = 0; ticks < 30; ticks++) {
        const failed = store.transaction(async (tx) => {
          void put(tx, `t${ticks}`)
          for (let i = 0; i < ticks; i++) await null
          throw new Error('undo')
        })
        const next = put(store, `n${ticks}`)
        await expect(failed).rejects.toThrow('undo')
        await next
      }
      expect(await ids()).not.toContain('t')
    })

    it('statements keep their order, also one that is sent in the moment when BEGIN is done', async () => {
      for (let ticks = 0; ticks < 12; ticks++) {
        await store.execute('delete from item')
        await put(store, 'a', 1)
        await store.transaction(async (tx) => {
          const first = tx.execute(sql`update item set amount = amount * 10`)
          for (let i = 0; i < ticks; i++) await null
          await Promise.all([first, tx.execute(sql`update item set amount = amount + 1`)])
        })
        expect(await store.query('select amount from item')).toEqual([{ amount: 11 }])
      }
    })

    it('an abort while waiting for the turn leaves the queue', async () => {
      const stop = new AbortController()
      let waiting: Promise<unknown> | undefined
      await store.transaction(async (tx) => {
        await put(tx, 'a')
        waiting = codeOf(store.transaction((t) => put(t, 'b'), { signal: stop.signal }))
        const behind = put(store, 'c')
        await new Promise(setImmediate)
        stop.abort(new Error('stop'))
        await waiting
        void behind
      })
      expect(await waiting).toMatchObject({ message: 'stop' })
      await put(store, 'd')
      expect(await ids()).toBe('acd')
    })
  })

  describe('locks on the whole file', () => {
    const whileHeld = (within: () => Promise<unknown>) =>
      store.transaction(async (tx) => {
        await tx.lockRows('item', sql`1 = 1`)
        await within()
      })
    const lock = (tx: OwnTransaction, wait: 'nowait' | { waitMs: number }) =>
      tx.lockRows('item', { id: 'a' }, { wait })

    it('nowait and waitMs, within one process and between connections of two stores', async () => {
      const other = make()
      await whileHeld(async () => {
        for (const at of [store, other]) {
          expect(await codeOf(at.transaction((tx) => lock(tx, 'nowait')))).toBe('ROW_LOCKED')
          const startMs = performance.now()
          expect(await codeOf(at.transaction((tx) => lock(tx, { waitMs: 60 })))).toBe('LOCK_TIMEOUT')
          const tookMs = performance.now() - startMs
          expect(tookMs).toBeGreaterThanOrEqual(55)
          expect(tookMs).toBeLessThan(2_000)
        }
      })
      await other.transaction((tx) => lock(tx, 'nowait'))
      await other.close()
    })

    it('a lone statement that ran out of time before BEGIN was not sent, and so is not applied', async () => {
      const other = make()
      await whileHeld(async () => {
        for (const at of [store, other]) {
          const error = await at
            .autocommit(sql`insert into item (id) values (${'a'})`, { timeoutMs: 40 })
            .catch((e: unknown) => e)
          expect(error).toMatchObject({ code: 'TRANSACTION_TIMEOUT', outcome: 'not-applied' })
        }
      })
      expect(await ids()).toBe('')
      await other.close()
    })

    it('a waitMs longer than busyWaitMs bounds the wait within the process too', async () => {
      await store.close()
      store = make({ busyWaitMs: 20 })
      await whileHeld(async () => {
        expect(await codeOf(store.transaction((tx) => lock(tx, { waitMs: 60 }), { retries: 0 }))).toBe(
          'LOCK_TIMEOUT',
        )
      })
    })

    it('a long queue in this process does not use up the wait for other processes', async () => {
      await store.close()
      store = make({ busyWaitMs: 200 })
      const other = make()
      let inner: Promise<unknown> | undefined
      await store.transaction(async (tx) => {
        await put(tx, 'a')
        inner = codeOf(store.transaction((t) => put(t, 'b'), { retries: 0 }))
        await tx.store.clock.sleep(250)
      })
      expect(await inner).toBe('fulfilled')
      await other.close()
    })
  })

  it('while another process holds the file, the event loop goes on, and the wait is bounded', async () => {
    const holder = startFixture<{ held?: boolean }>(worker, { args: [path(), 'hold', '0', driver] })
    await holder.line((line) => line.held === true)
    const short = make({ busyWaitMs: 300 })
    const delay = monitorEventLoopDelay({ resolution: 5 })
    delay.enable()
    const startMs = performance.now()
    expect(await codeOf(short.transaction((tx) => put(tx, 'a'), { retries: 0 }))).toBe('STORE_BUSY')
    const tookMs = performance.now() - startMs
    delay.disable()
    expect(tookMs).toBeGreaterThanOrEqual(295)
    expect(delay.max / 1e6).toBeLessThan(150)
    expect(
      await codeOf(short.transaction((tx) => tx.lockRows('item', { id: 'a' }, { wait: 'nowait' }))),
    ).toBe('ROW_LOCKED')
    expect(await short.transaction((tx) => ids(tx), { readOnly: true })).toBe('')

    const waiting = put(store, 'a')
    await holder.kill()
    await waiting // SIGKILL within a transaction gives the file back, and its writes are gone
    expect(await ids()).toBe('a')
    await short.close()
  })

  it('a database in memory has one connection, whose readers cannot write', async () => {
    const memory = sqlite({ open: () => openSqlite(':memory:', driver) as never })
    const first = memory.transaction((tx) => tx.query('select 1 as one'), { readOnly: true })
    await memory.execute('create table item (id text primary key, amount integer not null)')
    expect(await first).toEqual([{ one: 1 }])
    await put(memory, 'a')
    expect(await memory.transaction((tx) => ids(tx), { readOnly: true })).toBe('a')
    expect(await codeOf(memory.transaction((tx) => put(tx, 'b'), { readOnly: true }))).toBe(
      'STATEMENT_FAILED',
    )
    await expect(
      memory.transaction(async (tx) => {
        await put(tx, 'c')
        throw new Error('undo')
      }),
    ).rejects.toThrow('undo')
    await put(memory, 'd')
    expect(await ids(memory)).toBe('ad')
    await memory.close()
  })

  it('a full disk is an error whose outcome is known, and the store works on', async () => {
    await put(store, 'a')
    const [{ page_count: pages }] = (await store.query<{ page_count: number }>('pragma page_count')) as [
      { page_count: number },
    ]
    await store.query(`pragma max_page_count = ${pages + 2}`)
    const failed = store.transaction(async (tx) => {
      await put(tx, 'b')
      await tx.execute(sql`insert into item (id, amount) values (${'x'.repeat(100_000)}, 1)`)
    })
    expect(await failed.catch((e) => e)).toMatchObject({ code: 'STORE_UNAVAILABLE', outcome: 'not-applied' })
    await store.query('pragma max_page_count = 1000000')
    await put(store, 'c')
    expect(await ids()).toBe('ac')
  })

  it('what is no connection, and values that the driver cannot take, are told as ours', async () => {
    expect(() => sqlite(undefined as never)).toThrow(/open must be a function/)
    // @ts-expect-error: the types ask for the options
    expect(() => sqlite()).toThrow(/open must be a function/)
    const none = make({ open: () => undefined as never })
    expect(await none.query('select 1').catch((e) => e)).toMatchObject({ code: 'CONFIG_INVALID' })
    await none.close()
    for (const value of [{ a: 1 }, 2n ** 70n]) {
      const failed = await put(store, value as never).catch((e: unknown) => e)
      expect(failed).toMatchObject({ outcome: 'not-applied', code: 'STATEMENT_FAILED' })
    }
    expect(await store.query('select * from item')).toEqual([])
  })

  it('a file that cannot be opened, or is no database, is an error that says so, and is tried again', async () => {
    let missing = true
    const late = make({
      open: () => openSqlite(missing ? folder.file('no/such/db') : path(), driver) as never,
    })
    expect(await late.query('select 1').catch((e) => e)).toMatchObject({
      code: 'STORE_UNAVAILABLE',
      outcome: 'not-applied',
    })
    missing = false
    await put(late, 'a')
    await late.close()
    writeFileSync(
      folder.file('text'),
      'this is no database, only some text that is long enough to be looked at',
    )
    const text = make({ open: () => openSqlite(folder.file('text'), driver) as never })
    expect(await text.query('select * from item').catch((e) => e)).toMatchObject({
      code: 'STORE_UNAVAILABLE',
    })
    await text.close()
  })

  it('a file that may only be read refuses writes and gives reads', async () => {
    await put(store, 'a')
    const frozen = make({
      open: () => {
        const handle = openSqlite(path(), driver)
        handle.exec('pragma query_only = on')
        return handle as never
      },
    })
    expect(await frozen.transaction((tx) => ids(tx), { readOnly: true })).toBe('a')
    expect(await codeOf(put(frozen, 'b'))).toBe('STATEMENT_FAILED')
    await frozen.close()
  })

  it('close waits for work in hand, refuses what comes later, and can be called twice', async () => {
    let closing: Promise<void> | undefined
    let behind: Promise<unknown> | undefined
    await store.transaction(async (tx) => {
      await put(tx, 'a')
      closing = store.close()
      expect(await codeOf(put(store, 'b'))).toBe('STORE_CLOSED')
      behind = store.close()
      await put(tx, 'c')
    })
    await Promise.all([closing, behind])
    expect(await codeOf(ids())).toBe('STORE_CLOSED')
    const again = make()
    expect(await ids(again)).toBe('ac')
    await again.close()
  })

  it('close while connections are being opened leaves none behind', async () => {
    const fresh = make()
    const work = Promise.allSettled([put(fresh, 'a'), fresh.transaction((tx) => ids(tx), { readOnly: true })])
    await fresh.close()
    await work
    expect(await codeOf(put(fresh, 'b'))).toBe('STORE_CLOSED')
  })

  it.each(['before', 'after'])(
    'a COMMIT that got no answer (%s) is unknown, and resolve tells',
    async (when) => {
      await migrate(store, [storeTables])
      failpoints.arm(`store.commit.${when}`, 'throw', { times: 1 })
      const error = await store.transaction((tx) => put(tx, 'a'), { witness: true }).catch((e) => e)
      expect(error).toMatchObject({ code: 'COMMIT_UNKNOWN', outcome: 'unknown' })
      expect(await store.resolve(error as CommitUnknownError)).toBe(
        when === 'after' ? 'applied' : 'not-applied',
      )
      expect(await ids()).toBe(when === 'after' ? 'a' : '')
    },
  )
})

describe('sqlite across processes', () => {
  it('four processes of 250 read-modify-writes each lose none, and none starves', async () => {
    using folder = tempFolder('sqlite')
    const path = folder.file('db.sqlite')
    const store = sqlite({ open: () => openSqlite(path) as never })
    await store.execute('create table item (id text primary key, amount integer not null)')
    await store.execute("insert into item (id, amount) values ('sum', 0)")
    const workers = [1, 2, 3, 4].map(() =>
      startFixture<{ done?: boolean; worstMs: number }>(worker, { args: [path, 'add', '250'] }),
    )
    const ends = await Promise.all(
      workers.map((w) => w.line((line) => line.done === true, { deadlineMs: 25_000 })),
    )
    expect(await store.query('select amount from item')).toEqual([{ amount: 1000 }])
    for (const { worstMs } of ends) expect(worstMs).toBeLessThan(5_000)
    await store.close()
  })
})

/** The handle as node:sqlite was before Node 22.16: without `isTransaction` and `columns`. */
function withoutWord(db: SqliteDatabaseLike): SqliteDatabaseLike {
  return {
    exec: (text) => db.exec(text),
    close: () => db.close(),
    prepare: (text) => {
      const statement = db.prepare(text)
      const toArguments = (values: unknown[]) => (statement.safeIntegers === undefined ? values : [values])
      return {
        all: (...values) => statement.all(...toArguments(values)),
        run: (...values) => statement.run(...toArguments(values)),
        setReadBigInts: (on) => (statement.safeIntegers ?? statement.setReadBigInts)?.call(statement, on),
      }
    },
  }
}
