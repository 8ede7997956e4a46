import { randomUUID } from 'node:crypto'
import { Etcd3 } from 'etcd3'
import { migrate } from 'holdfast'
import { etcdLocks } from 'holdfast/etcd'
import { createLocks, type LockEngine, lockTables } from 'holdfast/lock'
import { postgres } from 'holdfast/postgres'
import { redisLocks } from 'holdfast/redis'
import { Redis } from 'ioredis'
import type pg from 'pg'
import Redlock from 'redlock'

/** Takes the lock `name`, runs `inside`, gives the lock back. */
export interface Way {
  readonly system: string
  /** Undefined where this way cannot wait: it is then measured without contention only. */
  readonly waits: boolean
  hold(name: string, inside: () => void): Promise<void>
  close(): Promise<void>
}

const TTL_MS = 30_000
const WAIT_MS = 60_000

function ours(system: string, engine: LockEngine, close: () => Promise<void>): Way {
  const locks = createLocks(engine)
  return {
    system,
    waits: true,
    async hold(name, inside) {
      const lock = await locks.acquire(name, { ttlMs: TTL_MS, waitMs: WAIT_MS })
      inside()
      await lock.release()
    },
    async close() {
      await locks.close()
      await close()
    },
  }
}

const RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

export function redisWays(url: string): Way[] {
  const [mine, bare, other] = [new Redis(url), new Redis(url), new Redis(url)]
  const quit = (client: Redis) => async () => client.disconnect()
  bare.defineCommand('bareRelease', { numberOfKeys: 1, lua: RELEASE })
  const redlock = new Redlock([other], { retryCount: -1 })
  redlock.on('error', () => {})
  return [
    ours('holdfast', redisLocks(mine), quit(mine)),
    {
      system: 'SET NX, Lua release',
      waits: false,
      async hold(name, inside) {
        const value = randomUUID()
        if ((await bare.set(name, value, 'PX', TTL_MS, 'NX')) !== 'OK') throw new Error('not free')
        inside()
        await (bare as unknown as { bareRelease(key: string, value: string): Promise<number> }).bareRelease(
          name,
          value,
        )
      },
      close: quit(bare),
    },
    {
      system: 'node-redlock',
      waits: true,
      async hold(name, inside) {
        const lock = await redlock.acquire([`redlock:${name}`], TTL_MS)
        inside()
        await lock.release()
      },
      close: quit(other),
    },
  ]
}

export async function postgresWays(pool: pg.Pool): Promise<Way[]> {
  const store = postgres(pool)
  await migrate(store, [lockTables])
  await pool.query(
    'create table bare_lease (name text primary key, epoch bigint not null, until_ms bigint not null) with (fillfactor = 50)',
  )
  await pool.query("insert into bare_lease select 'n' || i, 0, 0 from generate_series(0, 63) as i")
  const now = '(extract(epoch from clock_timestamp()) * 1000)::bigint'
  const take = {
    name: 'take',
    text: `update bare_lease set epoch = epoch + 1, until_ms = ${now} + ${TTL_MS} where name = $1 and until_ms <= ${now} returning epoch`,
  }
  const give = { name: 'give', text: 'update bare_lease set until_ms = 0 where name = $1 and epoch = $2' }
  return [
    ours('holdfast', createLocks(store).engine, async () => {}),
    {
      system: 'two UPDATEs by hand',
      waits: false,
      async hold(name, inside) {
        const { rows } = await pool.query({ ...take, values: [name] })
        if (rows.length !== 1) throw new Error('not free')
        inside()
        await pool.query({ ...give, values: [name, rows[0].epoch] })
      },
      close: async () => {},
    },
    {
      system: 'advisory lock (no token, not durable)',
      waits: true,
      async hold(name, inside) {
        const client = await pool.connect()
        await client.query('select pg_advisory_lock(hashtext($1))', [name])
        inside()
        await client.query('select pg_advisory_unlock(hashtext($1))', [name])
        client.release()
      },
      close: async () => {},
    },
  ]
}

export function etcdWays(url: string): Way[] {
  const [mine, other] = [new Etcd3({ hosts: url }), new Etcd3({ hosts: url })]
  return [
    ours('holdfast', etcdLocks(mine), async () => mine.close()),
    {
      system: 'etcd3 lock()',
      waits: false,
      async hold(name, inside) {
        const lock = await other.lock(`bare/${name}`).ttl(30).acquire()
        inside()
        await lock.release()
      },
      close: async () => other.close(),
    },
  ]
}
