import { connect, createServer, type Socket } from 'node:net'
import { createLocks, LockEngineError } from 'holdfast/lock'
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
    let cutNext = false
    await using proxy = await proxyTo(url, (bytes, near) => {
      if (!cutNext) return void near.write(bytes)
      cutNext = false
      near.end(bytes.subarray(0, 6))
    })
    await using locks = createLocks(zookeeperLocks(proxy.open))
    await (await locks.acquire('before', { ttlMs: 60_000 })).release()
    for (let round = 0; round < 3; round++) {
      cutNext = true
      await until(async () => {
        const lock = await locks.acquire('after', { ttlMs: 60_000, waitMs: 2_000 }).catch(() => undefined)
        await lock?.release().catch(() => {})
        return lock !== undefined && !cutNext
      })
    }
  })

  it('reads a new connection from its start when the last ones were lost in the middle of the greeting', async () => {
    let cuts = 3
    await using proxy = await proxyTo(url, (bytes, near) => {
      if (cuts === 0) return void near.write(bytes)
      cuts -= 1
      near.end(bytes.subarray(0, 6))
    })
    await using locks = createLocks(zookeeperLocks(proxy.open))
    const lock = await locks.acquire('greeted', { ttlMs: 60_000 })
    expect(lock.ttlMs).toBe(SESSION_MS)
    expect(await lock.release()).toBe(true)
  })

  it('closed while it connects, takes the greeting that comes then for nothing, and connects no more', async () => {
    let greeting: (() => void) | undefined
    await using proxy = await proxyTo(url, (bytes, near) => {
      greeting = () => near.write(bytes)
    })
    const locks = createLocks(zookeeperLocks(proxy.open))
    const asking = locks.acquire('never', { ttlMs: 60_000, waitMs: 500 }).catch((error: unknown) => error)
    await until(async () => greeting !== undefined, { what: 'the greeting' })
    const closed = locks.close()
    greeting?.()
    await closed
    expect(await asking).toBeInstanceOf(LockEngineError)
    await until(async () => proxy.connections() === 0, { what: 'the end of the connections' })
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

/** A way to the server that lets `answer` say what becomes of what the server says. */
async function proxyTo(url: string, answer: (bytes: Buffer, near: Socket) => void) {
  const [host = '', port] = url.split(':')
  const ends = new Set<Socket>()
  const proxy = createServer((near) => {
    const far = connect(Number(port), host)
    for (const [end, other] of [
      [near, far],
      [far, near],
    ] as const) {
      ends.add(end)
      end.on('error', () => {})
      end.on('close', () => {
        ends.delete(end)
        other.destroy()
      })
    }
    near.pipe(far)
    far.on('data', (bytes) => answer(bytes, near))
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const { port: at } = proxy.address() as { port: number }
  return {
    open: () => zookeeper.createClient(`127.0.0.1:${at}`, { sessionTimeout: SESSION_MS }),
    connections: () => ends.size,
    async [Symbol.asyncDispose]() {
      for (const end of ends) end.destroy()
      proxy.close()
    },
  }
}
