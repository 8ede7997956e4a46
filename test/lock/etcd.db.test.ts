import { Etcd3 } from 'etcd3'
import { etcdLocks } from 'holdfast/etcd'
import { describeLockContract } from 'holdfast/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeWith, etcdServer } from '../support/servers.ts'

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
})
