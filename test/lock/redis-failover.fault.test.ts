/**
 * Redis alone loses mutual exclusion on a failover to a replica that lacks the last grant. Both holders then believe that
 * they hold, under tokens that may be equal; the guard in the database lets only one of them write.
 */
import { fence } from 'holdfast/fence'
import { createLocks } from 'holdfast/lock'
import { redisLocks } from 'holdfast/redis'
import { Redis } from 'ioredis'
import { expect, it } from 'vitest'
import { stores } from '../inbox/stores.ts'
import { describeWith, findBinary, ownRedis, type Server } from '../support/servers.ts'
import { until } from '../support/wait.ts'

/** A server that the environment names is not ours to kill. */
const server: Server =
  findBinary('redis-server') === undefined ? { missing: 'redis-server is not installed' } : { url: '' }

describeWith(server, 'Redis with a replica', () => {
  it.each(['the first', 'the second'])(
    'has two holders after a failover, and the guard accepts only one of them when %s writes first',
    async (first) => {
      const [primaryServer, replicaServer] = await Promise.all([ownRedis(), ownRedis()])
      if (primaryServer === undefined || replicaServer === undefined)
        throw new Error('redis-server is not installed')
      const [primary, replica] = [new Redis(primaryServer.url), new Redis(replicaServer.url)]
      primary.on('error', () => {})
      await using opened = await (stores[0] as (typeof stores)[0]).open()
      const { store } = opened
      try {
        const before = createLocks(redisLocks(primary), { owner: 'before' })
        await (await before.acquire('account')).release()
        const { host, port } = primary.options
        await replica.replicaof(host as string, port as number)
        await until(async () => (await replica.info('replication')).includes('master_link_status:up'), {
          deadlineMs: 20_000,
        })
        await until(async () => (await replica.get('holdfast:token')) !== null)

        // The replica no longer follows, as when the network between them fails a moment before the primary does.
        await replica.replicaof('NO', 'ONE')
        const one = await before.acquire('account', { ttlMs: 60_000 })
        await primaryServer.kill()
        const after = createLocks(redisLocks(replica), { owner: 'after' })
        const two = await after.acquire('account', { ttlMs: 60_000 })

        expect([one.isHeld(), two.isHeld()]).toEqual([true, true]) // mutual exclusion is lost
        expect(two.token).toBe(one.token) // and the token repeats
        const [early, late] = first === 'the first' ? [one, two] : [two, one]
        await store.transaction((tx) => fence(tx, early))
        await expect(store.transaction((tx) => fence(tx, late))).rejects.toMatchObject({
          code: 'STALE_FENCE',
          presented: late.token,
          current: early.token,
        })
        await store.transaction((tx) => fence(tx, early))
        await two.release()
      } finally {
        primary.disconnect()
        replica.disconnect()
        await replicaServer.kill()
      }
    },
  )
})
