import { createLocks } from 'holdfast/lock'
import { describeLockContract } from 'holdfast/testing'
import { zookeeperLocks } from 'holdfast/zookeeper'
import zookeeper from 'node-zookeeper-client'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeWith, zookeeperServer } from '../support/servers.ts'

const kit = { describe, it, expect, beforeEach, afterEach }
/** Longer than the least that the test server grants, which is two of its ticks. */
const SESSION_MS = 2_000

describeWith(await zookeeperServer(), 'ZooKeeper', (url) => {
  const open = () => zookeeper.createClient(url, { sessionTimeout: SESSION_MS })

  describeLockContract(
    kit,
    'zookeeper',
    async () => ({
      async open() {
        const engine = zookeeperLocks(open)
        await engine.list({ limit: 1 }) // connects, so that the session's timeout is known
        return engine
      },
      dispose: async () => {},
    }),
    { ttlMs: SESSION_MS, tooShortMs: SESSION_MS - 1, rounds: 6, endsUnrenewed: false },
  )

  it('reports the timeout of the session as what was granted', async () => {
    await using locks = createLocks(zookeeperLocks(open))
    await using lock = await locks.acquire('granted', { ttlMs: 60_000 })
    expect(lock.ttlMs).toBe(SESSION_MS)
    await expect(locks.acquire('x', { ttlMs: SESSION_MS - 1 })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
  })

  it('refuses a time to live below what the server grants the session, also before it is connected', async () => {
    const fresh = zookeeperLocks(() => zookeeper.createClient(url, { sessionTimeout: 10 }))
    await using locks = createLocks(fresh)
    await expect(locks.acquire('x', { ttlMs: 50 })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })
})
