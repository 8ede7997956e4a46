/** Counters that machines share, on real servers. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { Etcd3 } from 'etcd3'
import {
  etcdCounter,
  feistel,
  leasedInstance,
  type PermutedIds,
  permutedIds,
  redisCounter,
  type SequenceSource,
  storeCounter,
} from 'holdfast/id'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { stores } from '../inbox/stores.ts'
import { tempFolder } from '../support/files.ts'
import { freePorts, isListening } from '../support/ports.ts'
import { until } from '../support/wait.ts'

const permutation = feistel('public')

async function take(ids: PermutedIds, count: number): Promise<bigint[]> {
  const made: bigint[] = []
  for (let i = 0; i < count; i++) made.push(await ids.next())
  return made
}

function describeCounter(make: () => { counter(options?: { notBelow?: bigint }): SequenceSource }): void {
  it('gives each block once, to any number of generators under one instance', async () => {
    const { counter } = make()
    const generators = Array.from({ length: 6 }, () =>
      permutedIds({ instance: 9, source: counter(), permutation, blockSize: 5, prefetch: false }),
    )
    const made = (await Promise.all(generators.map((ids) => take(ids, 40)))).flat()
    expect(new Set(made).size).toBe(240)
    for (const ids of generators) await ids.close()
  })
  it('goes on where it was, and counts each instance by itself', async () => {
    const { counter } = make()
    const at = async (instance: number, notBelow?: bigint) => {
      await using ids = permutedIds({
        instance,
        source: counter(notBelow === undefined ? {} : { notBelow }),
        permutation,
        blockSize: 10,
        prefetch: false,
      })
      return ids.decode(await ids.next())
    }
    expect(await at(1)).toEqual({ instance: 1, sequence: 0n })
    expect(await at(1)).toEqual({ instance: 1, sequence: 10n })
    expect(await at(2)).toEqual({ instance: 2, sequence: 0n })
    expect(await at(1, 1_000n)).toEqual({ instance: 1, sequence: 1_000n })
    expect(await at(1, 500n)).toEqual({ instance: 1, sequence: 1_010n })
    expect(await at(1)).toEqual({ instance: 1, sequence: 1_020n })
    expect(await at(3, 2n ** 48n - 10n)).toEqual({ instance: 3, sequence: 2n ** 48n - 10n })
    await expect(at(3)).rejects.toMatchObject({ code: 'ID_EXHAUSTED' })
  })
}

for (const { name, open } of stores) {
  describe(`in the store ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>
    beforeAll(async () => {
      opened = await open()
    })
    afterAll(() => opened[Symbol.asyncDispose]())
    let names = 0
    describeCounter(() => {
      const counterName = `c${names++}`
      return { counter: (options) => storeCounter(opened.store, { name: counterName, ...options }) }
    })

    it('each generator leases a number of its own, and the next one goes on', async () => {
      const { store } = opened
      const make = () =>
        permutedIds({
          instance: leasedInstance(store, { scope: 'own', count: 2 }),
          source: storeCounter(store, { name: 'own' }),
          permutation,
          blockSize: 10,
        })
      const [a, b, c] = [make(), make(), make()]
      const first = [a.decode(await a.next()), b.decode(await b.next())]
      expect(first.map((parts) => parts.instance).sort()).toEqual([0, 1])
      await expect(c.next()).rejects.toMatchObject({ code: 'ID_IN_USE' })
      await a.close()
      const third = c.decode(await c.next())
      expect(third.instance).toBe(first[0]?.instance)
      expect(third.sequence).toBeGreaterThan(first[0]?.sequence as bigint)
      await b.close()
      await c.close()
    })

    it('stops when the lease of its number is lost', async () => {
      const { store } = opened
      const ids = permutedIds({
        instance: leasedInstance(store, { scope: 'lost', ttlMs: 3_000 }),
        source: storeCounter(store, { name: 'lost' }),
        permutation,
      })
      await ids.next()
      await store.execute(
        `update holdfast_lease set owner = 'another', epoch = epoch + 1, until_ms = until_ms + 60000 where scope = 'id/lost'`,
      )
      await until(() => ids.signal.aborted, { deadlineMs: 20_000 })
      await expect(ids.next()).rejects.toMatchObject({ code: 'IDS_STOPPED', cause: { code: 'LEASE_LOST' } })
      await ids.close()
    })
  })
}

const NO_NUMBERS = ['abc', '-5', '4096.5', '', ' 12', '9'.repeat(20)]

/** The code of the error that a generator with `source` meets. */
async function codeOfNext(source: SequenceSource): Promise<unknown> {
  await using ids = permutedIds({ instance: 1, source, permutation, blockSize: 10, prefetch: false })
  return ids.next().then(
    (id) => id,
    (error: { code: unknown }) => error.code,
  )
}

const has = (command: string): boolean => spawnSync('which', [command]).status === 0

describe.skipIf(!has('redis-server'))('in Redis (skipped without redis-server)', () => {
  const folder = tempFolder('redis')
  let server: ChildProcess
  let client: Redis
  beforeAll(async () => {
    const [port = 0] = await freePorts(1)
    const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder.path, '--save', '']
    server = spawn('redis-server', [...args, '--appendonly', 'yes', '--appendfsync', 'always'], {
      stdio: 'ignore',
    })
    await until(() => isListening(port), { deadlineMs: 20_000 })
    client = new Redis(port, '127.0.0.1')
  })
  afterAll(() => {
    client.disconnect()
    server.kill('SIGKILL')
    folder.remove()
  })
  let keys = 0
  describeCounter(() => {
    const key = `ids${keys++}`
    return { counter: (options) => redisCounter(client, { key, ...options }) }
  })

  it.each(NO_NUMBERS)('%j is no state: it is told, and left as it is', async (state) => {
    await client.set('bad:{1}', state)
    expect(await codeOfNext(redisCounter(client, { key: 'bad' }))).toBe('ID_STATE_INVALID')
    expect(await client.get('bad:{1}')).toBe(state)
  })

  it('neither is a key of another kind; and a server that is gone has a code', async () => {
    await client.lpush('list:{1}', 'x')
    expect(await codeOfNext(redisCounter(client, { key: 'list' }))).toBe('ID_STATE_INVALID')
    const gone = new Redis(1, '127.0.0.1', { maxRetriesPerRequest: 0, retryStrategy: () => null })
    gone.on('error', () => {})
    expect(await codeOfNext(redisCounter(gone))).toBe('ID_COUNTER_UNAVAILABLE')
  })

  it('what does not fit any more does not move the counter', async () => {
    await client.set('full:{1}', `${2 ** 48 - 5}`)
    expect(await codeOfNext(redisCounter(client, { key: 'full' }))).toBe('ID_EXHAUSTED')
    expect(await client.get('full:{1}')).toBe(`${2 ** 48 - 5}`)
  })
})

describe.skipIf(!has('etcd'))('in etcd (skipped without etcd)', () => {
  const folder = tempFolder('etcd')
  let server: ChildProcess
  let client: Etcd3
  beforeAll(async () => {
    const [port = 0, peer = 0] = await freePorts(2)
    const url = `http://127.0.0.1:${port}`
    const peerUrl = `http://127.0.0.1:${peer}`
    const args = [
      '--data-dir',
      folder.file('data'),
      '--listen-client-urls',
      url,
      '--advertise-client-urls',
      url,
    ]
    const peers = ['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl]
    server = spawn('etcd', [...args, ...peers, '--initial-cluster', `default=${peerUrl}`], {
      stdio: 'ignore',
    })
    await until(() => isListening(port), { deadlineMs: 20_000 })
    client = new Etcd3({ hosts: url })
    await until(
      () =>
        client
          .get('ready')
          .string()
          .then(() => true),
      { deadlineMs: 20_000 },
    )
  })
  afterAll(() => {
    client.close()
    server.kill('SIGKILL')
    folder.remove()
  })
  let keys = 0
  describeCounter(() => {
    const key = `ids${keys++}`
    return { counter: (options) => etcdCounter(client, { key, ...options }) }
  })

  it.each(NO_NUMBERS)('%j is no state: it is told, and left as it is', async (state) => {
    await client.put('bad/1').value(state)
    expect(await codeOfNext(etcdCounter(client, { key: 'bad' }))).toBe('ID_STATE_INVALID')
    expect(await client.get('bad/1').string()).toBe(state)
  })

  it('a server that is gone has a code', async () => {
    const gone = new Etcd3({ hosts: 'http://127.0.0.1:1' })
    expect(await codeOfNext(etcdCounter(gone))).toBe('ID_COUNTER_UNAVAILABLE')
    gone.close()
  })
})
