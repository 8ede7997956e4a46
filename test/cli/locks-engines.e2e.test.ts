/** `holdfast locks` as a process, against each engine outside of the store. Uses the build. */
import { randomUUID } from 'node:crypto'
import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Etcd3 } from 'etcd3'
import { etcdLocks } from 'holdfast/etcd'
import { createLocks, type LockEngine } from 'holdfast/lock'
import { redisLocks } from 'holdfast/redis'
import { zookeeperLocks } from 'holdfast/zookeeper'
import { Redis } from 'ioredis'
import zookeeper from 'node-zookeeper-client'
import { afterAll, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freePorts } from '../support/ports.ts'
import { describeWith, etcdServer, redisServer, zookeeperServer } from '../support/servers.ts'
import { until } from '../support/wait.ts'
import { runHoldfast } from './process.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = tempFolder('cli-locks')
afterAll(folder.remove)

interface Service {
  readonly engine: LockEngine
  close(): void
}

function describeEngine(url: string, prefix: string, connect: () => Service): void {
  it('lists, shows and releases', async () => {
    const { engine, close } = connect()
    const locks = createLocks(engine, { owner: 'host:1' })
    const run = (...args: string[]) =>
      runHoldfast(['locks', ...args, '--prefix', prefix], { env: { HOLDFAST_LOCKS: url } })
    try {
      const lock = await locks.acquire('invoice:42')
      const next = locks.acquire('invoice:42')
      await until(async () => (await locks.show('invoice:42'))?.waiters.length === 1)

      const listed = await run('list')
      expect(listed.err).toBe('')
      expect(listed.out).toMatch(
        /^name +mode +holder +token +age +left +waiters\ninvoice:42 +exclusive +host:1\/1 +\d+ .* 1\n$/,
      )
      const shown = JSON.parse((await run('show', 'invoice:42', '--json')).out)
      expect(shown).toMatchObject({
        name: 'invoice:42',
        holders: [{ holder: 'host:1/1', token: `${lock.token}`, ageMs: expect.any(Number) }],
        waiters: [{ holder: 'host:1/2' }],
      })
      expect((await run('release', 'invoice:42')).code).toBe(64)
      expect(await run('release', 'invoice:42', '--force')).toEqual({
        code: 0,
        out: `released invoice:42 of host:1/1, token ${lock.token}\n`,
        err: '',
      })
      await (await next).release()
      expect(await lock.release()).toBe(false)
      expect(await run('list')).toEqual({ code: 0, out: 'no lock is held\n', err: '' })
      expect((await run('show', 'invoice:42')).code).toBe(1)
    } finally {
      await locks.close()
      close()
    }
  }, 60_000)
}

describeWith(await redisServer(), 'locks in Redis', (url) => {
  const prefix = `cli:${randomUUID()}:`
  describeEngine(url, prefix, () => {
    const client = new Redis(url)
    return { engine: redisLocks(client, { prefix }), close: () => client.disconnect() }
  })
})

describeWith(await etcdServer(), 'locks in etcd', (url) => {
  const prefix = `cli/${randomUUID()}/`
  describeEngine(url.replace('http:', 'etcd:'), prefix, () => {
    const client = new Etcd3({ hosts: url })
    return { engine: etcdLocks(client, { prefix }), close: () => client.close() }
  })
})

describeWith(await zookeeperServer(), 'locks in ZooKeeper', (url) => {
  const prefix = `/cli-${randomUUID()}`
  describeEngine(`zookeeper://${url}`, prefix, () => ({
    engine: zookeeperLocks(() => zookeeper.createClient(url, { sessionTimeout: 5_000 }), { root: prefix }),
    close: () => {},
  }))
})

describe('where nobody answers, or no driver is installed', () => {
  const installed = join(folder.path, 'bare/node_modules/holdfast')
  mkdirSync(installed, { recursive: true })
  cpSync(join(root, 'dist'), join(installed, 'dist'), { recursive: true })
  cpSync(join(root, 'package.json'), join(installed, 'package.json'))
  const bare = { file: join(installed, 'dist/cli/main.js'), cwd: join(folder.path, 'bare') }

  it.each([
    ['redis', 'Redis', 'ioredis'],
    ['etcd', 'etcd', 'etcd3'],
    ['zookeeper', 'ZooKeeper', 'node-zookeeper-client'],
  ])(
    '%s: one sentence, with what helps',
    async (scheme, service, driver) => {
      const [port] = await freePorts(1)
      const args = ['locks', 'list', '--locks', `${scheme}://me:secret@127.0.0.1:${port}`]
      expect(await runHoldfast(args, bare)).toEqual({
        code: 2,
        out: '',
        err: `holdfast: the driver for ${service} is not installed: run "npm install ${driver}"\n`,
      })
      const { code, out, err } = await runHoldfast(args)
      expect({ code, out }).toEqual({ code: 2, out: '' })
      expect(err).toMatch(/^holdfast: .*: check the address, and that the server runs\n$/)
      expect(err).not.toContain('secret')
    },
    60_000,
  )
})
