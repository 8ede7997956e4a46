import { randomUUID } from 'node:crypto'
import { Etcd3 } from 'etcd3'
import { etcdLocks } from 'holdfast/etcd'
import { createLocks } from 'holdfast/lock'
import { describeLockContract } from 'holdfast/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeWith, etcdServer } from '../support/servers.ts'
import { until } from '../support/wait.ts'

const kit = { describe, it, expect, beforeEach, afterEach }

describeWith(await etcdServer(), 'etcd', (url) => {
  describeLockContract(
    kit,
    'etcd',
    async () => {
      const clients: Etcd3[] = []
      return {
        async open() {
          const client = new Etcd3({ hosts: url })
          clients.push(client)
          return etcdLocks(client)
        },
        async dispose() {
          for (const client of clients) client.close()
        },
      }
    },
    { ttlMs: 2_000, tooShortMs: 1_999, rounds: 4 },
  )

  it('tells what is left of each lease, in whole seconds rounded up, of one lock and in the list', async () => {
    const client = new Etcd3({ hosts: url })
    const locks = createLocks(etcdLocks(client, { prefix: `left/${randomUUID()}/` }))
    try {
      const lock = await locks.acquire('a', { ttlMs: 60_000 })
      const waiting = locks.acquire('a', { ttlMs: 30_000 })
      const shown = await until(async () => {
        const info = await locks.show('a')
        return info?.waiters.length === 1 ? info : undefined
      })
      const left = [...shown.holders, ...shown.waiters].map(({ leftMs }) => Number(leftMs) / 1_000)
      expect(left[0]).toBeGreaterThan(30)
      expect(left[0]).toBeLessThanOrEqual(60)
      expect(left[1]).toBeGreaterThan(0)
      expect(left[1]).toBeLessThanOrEqual(30)
      expect(left.every(Number.isInteger)).toBe(true)
      expect((await locks.list())[0]?.holders[0]?.leftMs).toBeGreaterThan(30_000)
      await lock.release()
      await (await waiting).release()
    } finally {
      await locks.close()
      client.close()
    }
  })
})
