/**
 * The engine did what was asked, and its answer never came. Whatever `acquire` or `release` then says, nothing may be
 * left at the engine for longer than a lease, and nobody may be told of a lock that is not held.
 */
import { randomUUID } from 'node:crypto'
import { Etcd3 } from 'etcd3'
import { etcdLocks } from 'holdfast/etcd'
import { createLocks, type LockEngine, type Locks, lockTables } from 'holdfast/lock'
import { postgres } from 'holdfast/postgres'
import { redisLocks } from 'holdfast/redis'
import { migrate } from 'holdfast/tables'
import { type TcpProxy, tcpProxy } from 'holdfast/testing'
import { zookeeperLocks } from 'holdfast/zookeeper'
import { Redis } from 'ioredis'
import zookeeper from 'node-zookeeper-client'
import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { freshPool } from '../support/postgres.ts'
import { describeWith, etcdServer, redisServer, type Server, zookeeperServer } from '../support/servers.ts'
import { until } from '../support/wait.ts'

interface Way {
  readonly name: string
  readonly server: Server
  /** An engine over this address; `end` closes what belongs to it. */
  connect(address: string): Promise<{ engine: LockEngine; end: () => unknown }>
}

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const address = (server: Server): string =>
  'url' in server ? server.url.replace(/^\w+:\/\//, '').replace(/^.*@/, '') : ''

const ways: Way[] = [
  {
    name: 'Redis',
    server: await redisServer(),
    async connect(at) {
      const client = new Redis(`redis://${at}`, { maxRetriesPerRequest: 1, retryStrategy: () => 50 })
      client.on('error', () => {})
      return { engine: redisLocks(client), end: () => client.disconnect() }
    },
  },
  {
    name: 'etcd',
    server: await etcdServer(),
    async connect(at) {
      const client = new Etcd3({ hosts: `http://${at}` })
      return { engine: etcdLocks(client), end: () => client.close() }
    },
  },
  {
    name: 'ZooKeeper',
    server: await zookeeperServer(),
    async connect(at) {
      const engine = zookeeperLocks(() => zookeeper.createClient(at, { sessionTimeout: TTL_MS }))
      return { engine, end: () => {} }
    },
  },
]
const TTL_MS = 2_000

/** The store has no server of its own among the shared ones: it is the tests' database. */
async function throughProxy(
  way: Way | 'PostgreSQL',
): Promise<{ locks: Locks; direct: Locks; proxy: TcpProxy }> {
  if (way === 'PostgreSQL') {
    const database = await freshPool()
    ends.push(() => database.drop())
    await migrate(postgres(database.pool), [lockTables])
    const url = new URL(database.url)
    const proxy = await tcpProxy({ target: { host: url.hostname, port: Number(url.port) } })
    ends.push(() => proxy.close())
    url.host = `${proxy.host}:${proxy.port}`
    const pool = new pg.Pool({ connectionString: url.href })
    pool.on('error', () => {})
    ends.push(() => pool.end())
    return opened(createLocks(postgres(pool)), createLocks(postgres(database.pool)), proxy)
  }
  const at = address(way.server)
  const [host = '', port] = at.split(':')
  const proxy = await tcpProxy({ target: { host, port: Number(port) } })
  ends.push(() => proxy.close())
  const [far, near] = [await way.connect(`${proxy.host}:${proxy.port}`), await way.connect(at)]
  ends.push(far.end, near.end)
  return opened(createLocks(far.engine), createLocks(near.engine), proxy)
}

function opened(locks: Locks, direct: Locks, proxy: TcpProxy) {
  ends.push(
    () => direct.close(),
    () => {
      proxy.heal()
      proxy.cut()
      return locks.close()
    },
  )
  return { locks, direct, proxy }
}

const bounds = { ttlMs: TTL_MS, waitMs: 20_000 }

function describeLostAnswers(
  name: string,
  open: () => ReturnType<typeof throughProxy>,
  isOneQuestion: boolean,
): void {
  describe(name, () => {
    it('an acquire whose answer was lost with its connection is asked for again, and held once', async () => {
      const { locks, direct, proxy } = await open()
      const lockName = `lost ${randomUUID()}`
      await (await locks.acquire(lockName, bounds)).release()
      proxy.blackHole('down')
      const acquiring = locks.acquire(lockName, bounds)
      acquiring.catch(() => {}) // seen below
      if (isOneQuestion) {
        await until(async () => (await direct.show(lockName)) !== undefined, {
          what: 'the engine to grant it',
        })
      } else {
        await new Promise((resolve) => setTimeout(resolve, 300)) // one of several questions has gone unanswered
      }
      proxy.heal()
      proxy.cut()
      const lock = await acquiring
      const seen = await direct.show(lockName)
      expect(seen?.holders.map(({ holder, token }) => ({ holder, token }))).toEqual([
        { holder: lock.holder, token: lock.token },
      ])
      expect(seen?.waiters).toEqual([])
      expect(lock.isHeld()).toBe(true)
      await lock.release()
      expect(await direct.tryAcquire(lockName, { ttlMs: TTL_MS })).toBeDefined()
    }, 60_000)

    it('an acquire that never hears says unknown, and leaves nothing beyond a lease', async () => {
      const { locks, direct, proxy } = await open()
      const lockName = `lost ${randomUUID()}`
      await (await locks.acquire(lockName, bounds)).release()
      proxy.blackHole('down')
      const acquiring = locks.acquire(lockName, { ttlMs: TTL_MS, waitMs: 500 })
      await expect(acquiring).rejects.toMatchObject({ code: 'LOCK_ENGINE_UNAVAILABLE', outcome: 'unknown' })
      const next = await direct.acquire(lockName, { ttlMs: TTL_MS, waitMs: 3 * TTL_MS + 5_000 })
      await next.release()
    }, 60_000)

    it('a holder that has lost its connection is told before another can hold', async () => {
      const { locks, direct, proxy } = await open()
      const lockName = `lost ${randomUUID()}`
      const lock = await locks.acquire(lockName, bounds)
      const told = new Promise<unknown>((resolve) =>
        lock.signal.addEventListener('abort', () => resolve(lock.signal.reason), { once: true }),
      )
      let toldBefore = false
      const next = direct.acquire(lockName, bounds).then((got) => {
        toldBefore = lock.signal.aborted
        return got
      })
      next.catch(() => {}) // seen below
      proxy.refuse()
      proxy.cut()
      expect(await told).toMatchObject({ code: 'LOCK_LOST' })
      expect(lock.isHeld()).toBe(false)
      expect((await next).token > lock.token).toBe(true)
      expect(toldBefore).toBe(true)
      await (await next).release()
    }, 60_000)

    it('a release whose answer was lost says unknown, and the lock is free', async () => {
      const { locks, direct, proxy } = await open()
      const lockName = `lost ${randomUUID()}`
      const lock = await locks.acquire(lockName, bounds)
      proxy.blackHole('down')
      await expect(lock.release()).rejects.toMatchObject({
        code: 'LOCK_ENGINE_UNAVAILABLE',
        outcome: 'unknown',
      })
      expect(lock.signal.aborted).toBe(true)
      const next = await direct.acquire(lockName, { ttlMs: TTL_MS, waitMs: 3 * TTL_MS + 5_000 })
      expect(next.token > lock.token).toBe(true)
      await next.release()
    }, 60_000)
  })
}

describeLostAnswers('PostgreSQL', () => throughProxy('PostgreSQL'), true)
for (const way of ways)
  describeWith(way.server, `${way.name}: lost answers`, () =>
    describeLostAnswers(way.name, () => throughProxy(way), way.name === 'Redis'),
  )
