import { randomUUID } from 'node:crypto'
import { type FencedLock, StaleFenceError } from 'holdfast/fence'
import { createLocks, type Locks } from 'holdfast/lock'
import { redisGuard, redisLocks } from 'holdfast/redis'
import { describeLockContract } from 'holdfast/testing'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeWith, redisServer } from '../support/servers.ts'
import { until } from '../support/wait.ts'

const kit = { describe, it, expect, beforeEach, afterEach }

describeWith(await redisServer(), 'Redis', (url) => {
  const clientOptions = {
    redis: {},
    'redis, numbers as text and keys with a prefix': { stringNumbers: true, keyPrefix: 'app[1]:' },
  }
  for (const [title, options] of Object.entries(clientOptions)) {
    describeLockContract(
      kit,
      title,
      async () => {
        const clients: Redis[] = []
        return {
          async open() {
            const client = new Redis(url, options)
            clients.push(client)
            return redisLocks(client)
          },
          async dispose() {
            for (const client of clients) client.disconnect()
          },
        }
      },
      { ttlMs: 1_000, tooShortMs: 49, rounds: 25 },
    )
  }

  const ends: (() => unknown)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
  })
  function connect(): Redis {
    const client = new Redis(url)
    ends.push(() => client.disconnect())
    return client
  }
  const prefix = () => `t:${randomUUID()}:`

  it('acquire is one script call and so is release', async () => {
    const client = connect()
    const locks = createLocks(redisLocks(client, { prefix: prefix() }))
    await (await locks.acquire('warm')).release()
    const calls = async () =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0)
    const before = await calls()
    await (await locks.acquire('a')).release()
    expect((await calls()) - before).toBe(2)
  })

  it('after all data is lost, tokens are higher still, and a lost lock is noticed', async () => {
    const [client, at] = [connect(), prefix()]
    const locks = createLocks(redisLocks(client, { prefix: at }))
    const lock = await locks.acquire('a', { ttlMs: 300 })
    await client.del(`${at}lock:a`, `${at}token`)
    const next = await locks.acquire('a', { ttlMs: 300 })
    expect(next.token > lock.token).toBe(true)
    await new Promise((resolve) => lock.signal.addEventListener('abort', resolve))
    await next.release()
  })

  it('who is alone has a plain key with the lease as its expiry; a second request makes a queue of it', async () => {
    const [client, at] = [connect(), prefix()]
    // A holder's name ends an entry, so one that ends like another is told apart.
    const [locks, others] = ['b', 'a% b'].map((owner) =>
      createLocks(redisLocks(client, { prefix: at }), { owner }),
    ) as [Locks, Locks]
    const lock = await locks.acquire('a', { ttlMs: 600 })
    const key = `${at}lock:a`
    expect(await client.type(key)).toBe('string')
    const left = await client.pttl(key)
    expect(left > 0 && left <= 600).toBe(true)
    expect(await others.tryAcquire('a')).toBeUndefined()
    expect(await client.type(key)).toBe('string')
    const born = performance.now()
    await until(async () => !(await client.get(key))?.includes(' - '), { what: 'the lock to be renewed' })
    const agedMs = performance.now() - born
    const alone = (await others.show('a'))?.holders[0]
    expect(alone).toMatchObject({ holder: 'b/1', token: lock.token })
    expect(alone?.ageMs).toBeGreaterThanOrEqual(Math.floor(agedMs) - 2)

    const next = others.acquire('a', { ttlMs: 600 })
    await until(async () => (await client.type(key)) === 'list', { what: 'the queue' })
    const queued = await others.show('a')
    expect(queued?.holders).toMatchObject([{ holder: 'b/1', token: lock.token }])
    expect(queued?.holders[0]?.ageMs).toBeGreaterThanOrEqual(alone?.ageMs ?? 0)
    expect(queued?.waiters).toMatchObject([{ holder: 'a% b/2' }])
    expect(await lock.release()).toBe(true)
    await (await next).release()
    expect(await client.exists(key)).toBe(0)
  })

  it('a holder that asks again is answered as before, also when it is alone', async () => {
    const [client, at] = [connect(), prefix()]
    const engine = redisLocks(client, { prefix: at })
    const request = { name: 'a', holder: 'x', mode: 'exclusive', limit: 1, ttlMs: 500 } as const
    const first = await engine.ask(request, { wait: false })
    expect(first.kind).toBe('held')
    expect(await engine.ask(request, { wait: false })).toMatchObject({
      ...first,
      validUntilMs: expect.any(Number),
    })
    expect(await engine.ask({ ...request, holder: 'y x' }, { wait: false })).toEqual({ kind: 'refused' })
    expect(await engine.release({ name: 'a', holder: 'y x' })).toBe(false)
    expect(await engine.renew({ ...request, holder: 'y x' })).toBeUndefined()
    expect(await engine.renew(request)).toBeDefined()
    expect(await engine.release(request)).toBe(true)
    expect(await engine.release(request)).toBe(false)
  })

  it('works on when the server has forgotten the scripts', async () => {
    const client = connect()
    const locks = createLocks(redisLocks(client, { prefix: prefix() }))
    await (await locks.acquire('a')).release()
    await client.script('FLUSH')
    await (await locks.acquire('a')).release()
  })

  it('the guard for writes to Redis refuses a lower token and an equal one of another holder', async () => {
    const [client, at] = [connect(), prefix()]
    const guard = redisGuard(client, { prefix: at })
    const lock = (token: bigint, holder: string): FencedLock => ({
      mode: 'exclusive',
      name: 'a',
      token,
      holder,
    })
    await guard.set(lock(9n, 'x'), `${at}value`, 'nine')
    await guard.set(lock(10n, 'y'), `${at}value`, 'ten')
    await expect(guard.set(lock(9n, 'x'), `${at}value`, 'late')).rejects.toThrow(StaleFenceError)
    await expect(guard.set(lock(10n, 'z'), `${at}value`, 'other')).rejects.toMatchObject({ current: 10n })
    await guard.set(lock(2n ** 53n, 'y'), `${at}value`, 'high')
    await expect(guard.set(lock(2n ** 53n - 1n, 'y'), `${at}value`, 'late')).rejects.toThrow(StaleFenceError)
    await guard.set(lock(2n ** 53n + 1n, 'y'), `${at}value`, 'higher')
    await expect(guard.set(lock(2n ** 53n, 'y'), `${at}value`, 'late')).rejects.toThrow(StaleFenceError)
    expect(await client.get(`${at}value`)).toBe('higher')
    const script = "return {#KEYS, #ARGV, KEYS[1], ARGV[2], redis.call('INCRBY', KEYS[1], ARGV[1])}"
    expect(await guard.eval(lock(2n ** 60n, 'y'), { script, keys: [`${at}n`], args: [5, 'b'] })).toEqual([
      1,
      2,
      `${at}n`,
      'b',
      5,
    ])
  })
})
