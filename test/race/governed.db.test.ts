/** What a task may do between its statements: pauses and chance are the explorer's, Node's own work is waited for. */
import { execFile } from 'node:child_process'
import {
  createHash,
  getRandomValues,
  pbkdf2,
  randomBytes,
  randomFill,
  randomInt,
  randomUUID,
  webcrypto,
} from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { open, readFile } from 'node:fs/promises'
import { scheduler, setTimeout as sleep, setImmediate as soon } from 'node:timers/promises'
import { promisify } from 'node:util'
import { MessageChannel } from 'node:worker_threads'
import { gunzipSync, gzip, gzipSync } from 'node:zlib'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deferred } from '../../src/core/deferred.ts'
import {
  explore,
  type RaceDatabase,
  type RaceDefinition,
  type RaceOptions,
  race,
} from '../../src/race/index.ts'
import { type FreshPool, freshPool, inTransaction } from '../support/postgres.ts'

let db: FreshPool
beforeAll(async () => {
  db = await freshPool()
  await db.pool.query('create table account (balance int not null)')
})
afterAll(() => db.drop())

const setup = (on: RaceDatabase) => on.query('delete from account; insert into account values (100)')

function look(tasks: RaceDefinition['tasks'], schedules = 25, options: RaceOptions = {}) {
  return explore(race('governed', { store: db.pool, setup, tasks }), {
    schedules,
    remedies: false,
    ...options,
  })
}

const take = (amount: number, held?: () => unknown) =>
  inTransaction(db.pool, async (client) => {
    const { rows } = await client.query('select balance from account for update')
    await held?.()
    await client.query('update account set balance = $1', [rows[0].balance - amount])
  })

const here = import.meta.filename
const between: Record<string, () => unknown> = {
  'a pause of timers/promises': () => sleep(300),
  'a pause of the scheduler': () => scheduler.wait(300),
  'a promisified setTimeout': () => promisify(setTimeout)(300),
  'a deadline of a signal': () =>
    new Promise((resolve) => AbortSignal.timeout(300).addEventListener('abort', resolve)),
  'a turn of the event loop': () => soon(),
  'a file that is read': () => readFile(here),
  'a file that is opened and closed': async () => (await open(here)).close(),
  'random bytes, at once': () => [randomBytes(8), randomInt(5), getRandomValues(new Uint8Array(4))],
  'random bytes by a callback': () => promisify(randomFill)(new Uint8Array(4)),
  'a key that is derived': () => promisify(pbkdf2)('a', 'b', 100, 8, 'sha256'),
  'a hash': async () => [
    createHash('sha256').digest(),
    await webcrypto.subtle.digest('SHA-256', Buffer.of(1)),
  ],
  'packing, at once and not': async () => [
    gunzipSync(gzipSync('a')),
    await promisify(gzip)('a'.repeat(99_999)),
  ],
  'another program': () => promisify(execFile)('true'),
}

describe('code that holds its row is clean with, before and after it,', () => {
  it.each(Object.entries(between))('%s', async (_, work) => {
    const began = performance.now()
    const task = (amount: number) => async () => {
      await work()
      await take(amount)
      await work()
    }
    const { ok, coverage } = await look({ alice: task(1), bob: task(2) })
    expect({ ok, outcomes: coverage.outcomes }).toEqual({ ok: true, outcomes: 1 })
    // 25 schedules with four pauses of 300 ms each would take 30 s.
    expect(performance.now() - began).toBeLessThan(25_000)
  })
})

it('random numbers and the clock are the same in every schedule', async () => {
  const drawn = new Set<string>()
  const draw = async () => {
    await take(0)
    const numbers = [randomBytes(4).toString('hex'), randomInt(1_000_000), randomUUID(), Math.random()]
    const text = JSON.stringify([...numbers, ...crypto.getRandomValues(new Uint8Array(4))])
    drawn.add(text)
    return [text, process.hrtime()[0], String(process.hrtime.bigint())]
  }
  expect((await look({ alice: draw, bob: draw }, 10)).ok).toBe(true)
  expect(drawn.size).toBe(2) // each task its own
})

it('a task that opens a connection of its own, and closes it, is explored', async () => {
  const own = (amount: number) => async () => {
    const client = new pg.Client(db.pool.options)
    await client.connect()
    const { rows } = await client.query('select balance from account')
    await client.query('update account set balance = $1', [rows[0].balance - amount])
    await client.end()
  }
  expect((await look({ alice: own(1), bob: own(2) })).finding?.anomaly).toBe('lost update')
})

it('a timer that was taken before the search is named, with its place', async () => {
  const taken = setTimeout
  const wait = () => new Promise((resolve) => taken(resolve, 60_000))
  await expect(look({ alice: wait, bob: wait })).rejects.toThrow(
    /a timer taken before the search, begun by task \w+, at .*governed\.db\.test\.ts:\d+/,
  )
})

/** A moment of which Node tells nobody: nothing but the engine knows of it. */
const unseen = () => {
  const { waitAsync } = Atomics as unknown as {
    waitAsync(on: Int32Array, index: number, value: number, ms: number): { value: Promise<string> }
  }
  return waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100).value
}

it('under a row lock, what nothing here sees is waited for before a deadlock is said', async () => {
  const { ok, coverage } = await look({ alice: () => take(1, unseen), bob: () => take(2, unseen) })
  expect({ ok, exhaustive: coverage.exhaustive, outcomes: coverage.outcomes }).toEqual({
    ok: true,
    exhaustive: true,
    outcomes: 1,
  })
})

it('a circle of a row lock and a lock of the process is a deadlock, with both waits', async () => {
  let held: Promise<unknown> = Promise.resolve()
  const alone = <T>(use: () => Promise<T>): Promise<T> => {
    const result = held.then(use)
    held = result.catch(() => {})
    return result
  }
  const tasks = {
    alice: () => take(1, () => alone(async () => {})),
    bob: () => alone(() => take(2)),
  }
  const { finding } = await look(tasks, 25, { stallMs: 200 })
  expect(finding?.deadlock).toEqual([
    { task: 'bob', waitsFor: ['alice'], statement: 'select balance from account for update' },
    { task: 'alice', waitsFor: ['bob'], statement: expect.stringMatching(/^no statement: .* in memory/) },
  ])
})

it.each<[string, () => unknown]>([
  ['a MessagePort or a Worker', () => once(new MessageChannel().port1, 'message')],
  ['fs.watch', () => once(watch(here).unref(), 'change')],
  ['a UDP socket', () => once(createSocket('udp4').bind(0).unref(), 'message')],
  ['listening for a signal', () => once(process, 'SIGUSR2')],
])('%s that a task waits for is named, with its place', async (what, wait) => {
  const tasks = {
    alice: async () => {
      await take(1)
      await wait()
    },
    bob: () => take(2),
  }
  await expect(look(tasks, 25, { stallMs: 200 })).rejects.toThrow(
    new RegExp(`${what} begun by task alice, at .*governed\\.db\\.test\\.ts:\\d+`),
  )
})

it('a task that waits for what only another one sends has an order in which it cannot run alone, and is refused', async () => {
  let sent = deferred<void>()
  const careless = async (amount: number, between?: () => unknown) => {
    const { rows } = await db.pool.query('select balance from account')
    await between?.()
    await db.pool.query('update account set balance = $1', [rows[0].balance - amount])
  }
  const definition = {
    store: db.pool,
    setup: (on: RaceDatabase) => {
      sent = deferred()
      return setup(on)
    },
    tasks: {
      alice: () => careless(1, () => sent.promise),
      bob: () => careless(2).then(() => sent.resolve()),
    },
  }
  await expect(explore(race('governed', definition), { schedules: 25, stallMs: 200 })).rejects.toThrow(
    'task alice waits for something that no task and no statement will give',
  )
})

it('returned values that JSON cannot hold are compared', async () => {
  const circular: { self?: unknown } = {}
  circular.self = circular
  const odd = (last: unknown) => async () => {
    await take(1)
    return [circular, 1n, Number.NaN, new Map([[1, new Set([2])]]), Symbol('s'), new Error('e'), last]
  }
  expect((await look({ alice: odd(undefined), bob: odd(() => {}) })).ok).toBe(true)
  let calls = 0
  const differs = async () => new Map([['calls', calls++]])
  await expect(look({ alice: differs, bob: differs })).rejects.toMatchObject({
    code: 'RACE_SCHEDULE_DIVERGED',
  })
})

it('a rejection that nobody handles is an error of the task, and one that no serial order has is found', async () => {
  const floating = () => {
    void db.pool.query('selekt 1')
    return take(1)
  }
  // In every order, so it is no race.
  expect((await look({ alice: floating, bob: () => take(2) })).ok).toBe(true)
  const late = async () => {
    const { rows } = await db.pool.query('select balance from account')
    void inTransaction(db.pool, async (client) => {
      const again = await client.query('select balance from account')
      if (again.rows[0].balance !== rows[0].balance) throw new Error('it changed')
    })
  }
  expect((await look({ alice: late, bob: () => take(2) })).finding?.explanation).toContain(
    'Error: it changed',
  )
})

it('what the callback of a timer throws is an error of its task', async () => {
  const throws = async () => {
    await take(1)
    setTimeout(() => {
      throw new Error('in a timer')
    }, 1)
    await sleep(5)
  }
  // In every order, so it is no race.
  expect((await look({ alice: throws, bob: () => take(2) })).ok).toBe(true)
})

it('a read between two writes of another task is a dirty read, unless one transaction holds them', async () => {
  const write = (balance: number) => `update account set balance = ${balance}`
  const apart = async () => {
    for (const balance of [0, 100]) await db.pool.query(write(balance))
  }
  const whole = () =>
    inTransaction(db.pool, async (client) => {
      for (const balance of [0, 100]) await client.query(write(balance))
    })
  const read = async () => (await db.pool.query('select balance from account')).rows
  expect((await look({ alice: apart, bob: read })).finding).toMatchObject({
    anomaly: 'dirty read',
    responsible: [1, 2, 3],
  })
  expect((await look({ alice: whole, bob: read }, 100)).ok).toBe(true)
})

it('without a setup, what the last run left is named as the reason', async () => {
  const tasks = { alice: () => take(1), bob: () => take(2) }
  await expect(explore(race('no setup', { store: db.pool, tasks }))).rejects.toThrow(
    /or there is no setup that undoes/,
  )
})

it('a setup that fails, and a database that is away, are said as that', async () => {
  const tasks = { alice: () => take(1), bob: () => take(2) }
  const broken = race('broken', { store: db.pool, setup: (on) => on.query('selekt 1'), tasks })
  await expect(explore(broken)).rejects.toMatchObject({
    code: 'RACE_SETUP_FAILED',
    message: 'setup of race "broken" failed: syntax error at or near "selekt"',
  })
  const away = race('away', { store: new pg.Pool({ host: '127.0.0.1', port: 1 }), setup, tasks })
  await expect(explore(away)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  expect(() => race('no setup', { store: db.pool, setup: 'delete' as never, tasks })).toThrow(
    'setup must be a function',
  )
})
