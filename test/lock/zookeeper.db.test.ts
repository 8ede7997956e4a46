import { connect, createServer, type Socket } from 'node:net'
import { createLocks } from 'holdfast/lock'
import { describeLockContract } from 'holdfast/testing'
import { zookeeperLocks } from 'holdfast/zookeeper'
import zookeeper from 'node-zookeeper-client'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeWith, zookeeperServer } from '../support/servers.ts'
import { until } from '../support/wait.ts'

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

  it('reads a new connection from its start when the last one was lost in the middle of a packet', async () => {
    const [host = '', port] = url.split(':')
    let cutNext = false
    const ends: Socket[] = []
    const proxy = createServer((near) => {
      const far = connect(Number(port), host)
      ends.push(near, far)
      for (const end of [near, far]) end.on('error', () => {})
      near.on('close', () => far.destroy())
      far.on('close', () => near.destroy())
      near.pipe(far)
      far.on('data', (bytes) => {
        if (!cutNext) return void near.write(bytes)
        cutNext = false
        near.end(bytes.subarray(0, 6))
      })
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const { port: at } = proxy.address() as { port: number }
    const through = () => zookeeper.createClient(`127.0.0.1:${at}`, { sessionTimeout: SESSION_MS })
    try {
      await using locks = createLocks(zookeeperLocks(through))
      await (await locks.acquire('before', { ttlMs: 60_000 })).release()
      for (let round = 0; round < 3; round++) {
        cutNext = true
        await until(async () => {
          const lock = await locks.acquire('after', { ttlMs: 60_000, waitMs: 2_000 }).catch(() => undefined)
          await lock?.release().catch(() => {})
          return lock !== undefined && !cutNext
        })
      }
    } finally {
      for (const end of ends) end.destroy()
      proxy.close()
    }
  })

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
