/** A commit of the relay's own process is handed over without a read, and no promise of the order breaks by that. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { type Store, sql } from 'holdfast'
import { directBroker } from 'holdfast/broker'
import { createOutbox, type Outbox, type Relay, type RelayOptions } from 'holdfast/outbox'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { partitionOf } from '../../src/broker/partition.ts'
import { openStoreAt, type StoreAt } from '../support/store-at.ts'
import { until } from '../support/wait.ts'
import { countRows, openStore } from './stores.ts'

let opened: StoreAt
let store: Store
let outbox: Outbox
let seen: string[]
beforeEach(async () => {
  opened = await openStore('postgres')
  store = opened.store
  outbox = createOutbox(store, { partitions: 1 })
  seen = []
})
afterEach(() => opened[Symbol.asyncDispose]())

/** One that does not poll, so that what it finds is what it was told. */
async function start(
  handle: (payload: string) => unknown = (payload) => seen.push(payload),
  more: Partial<RelayOptions> = {},
): Promise<Relay> {
  const broker = directBroker({ handle: ({ payload }) => handle(JSON.parse(payload)) })
  const relay = outbox.relay({ broker, pollMinMs: 60_000, pollMaxMs: 60_000, ...more })
  onTestFinished(() => relay.stop())
  await relay.drainOnce()
  return relay
}

const publish = (payload: string, { key = 'k', by = store }: { key?: string; by?: Store } = {}) =>
  by.transaction((tx) => createOutbox(by, { partitions: 1 }).publish(tx, { topic: 't', key, payload }))
const settled = (n: number) => until(async () => seen.length >= n && (await countRows(store, 'outbox')) === 0)

it('one that comes alone is handed over and deleted, and nothing is read', async () => {
  const relay = await start()
  const { reads } = relay.figures()
  await publish('one')
  await settled(1)
  await until(() => relay.figures().inHand === 0)
  await publish('two')
  await settled(2)
  expect(seen).toEqual(['one', 'two'])
  expect(relay.figures()).toMatchObject({ direct: 2, reads, relayed: 2 })
})

it('those of one key in one transaction go together, in the order of the calls', async () => {
  const relay = await start()
  const payloads = Array.from({ length: 20 }, (_, i) => `${i}`)
  await store.transaction(async (tx) => {
    for (const payload of payloads) await outbox.publish(tx, { topic: 't', key: 'k', payload })
  })
  await settled(20)
  expect(seen).toEqual(payloads)
  expect(relay.figures().direct).toBe(20)
})

describe('whatever committed before it was published goes first', () => {
  let other: Store
  beforeEach(async () => {
    const elsewhere = openStoreAt(opened.at)
    other = elsewhere.store
    onTestFinished(() => elsewhere[Symbol.asyncDispose]())
  })

  it('though the relay has not heard of it', async () => {
    const relay = await start()
    await publish('first', { by: other })
    await publish('second')
    await settled(2)
    expect(seen).toEqual(['first', 'second'])
    expect(relay.figures().direct).toBe(0)
  })

  it('though the snapshot of the publishing transaction is older', async () => {
    for (const isolation of ['repeatable-read', 'serializable'] as const) {
      seen.length = 0
      const relay = await start()
      await store.transaction(
        async (tx) => {
          await tx.query(sql`select 1 as snapshot`)
          await publish('first', { by: other })
          await outbox.publish(tx, { topic: 't', key: 'k', payload: 'second' })
        },
        { isolation },
      )
      await settled(2)
      expect(seen).toEqual(['first', 'second'])
      await relay.stop()
    }
  })

  it('though it is with the broker at this moment', async () => {
    let letGo: (() => void) | undefined
    const relay = await start(async (payload) => {
      if (payload === 'first') await new Promise<void>((resolve) => (letGo = resolve))
      seen.push(payload)
    })
    await publish('first')
    await until(() => letGo)
    await publish('second')
    letGo?.()
    await settled(2)
    expect(seen).toEqual(['first', 'second'])
    expect(relay.figures().direct).toBe(1)
  })

  it('though the broker refused it, and it waits for another attempt', async () => {
    let refusals = 2
    const handle = (payload: string): void => {
      if (payload === 'first' && refusals-- > 0) throw new Error('not now')
      seen.push(payload)
    }
    const relay = await start(handle, { retry: { baseMs: 30, capMs: 30 } })
    await publish('first')
    await until(() => relay.figures().retries === 1)
    await publish('second')
    await settled(2)
    expect(seen).toEqual(['first', 'second'])
  })
})

it('of several that commit together, one at a time is with the broker', async () => {
  let now = 0
  let most = 0
  await start(async (payload) => {
    most = Math.max(most, ++now)
    await store.clock.sleep(20)
    now--
    seen.push(payload)
  })
  // With a connection each, so that they truly run at once.
  const eight = Array.from({ length: 8 }, (_, i) => `${i}`)
  await Promise.all(eight.map(() => store.query('select pg_sleep(0.1)')))
  await Promise.all(eight.map((payload) => publish(payload)))
  await settled(8)
  expect(most).toBe(1)
  expect([...seen].sort()).toEqual(eight)
})

it('one whose transaction commits late is neither waited for nor skipped', async () => {
  const relay = await start()
  const client = new pg.Client({ connectionString: opened.at })
  await client.connect()
  await client.query('begin')
  await store.join(client, (tx) => outbox.publish(tx, { topic: 't', key: 'k', payload: 'late' }))
  await publish('early')
  await settled(1)
  expect([seen, relay.figures().direct]).toEqual([['early'], 1])
  await client.query('commit')
  await client.end()
  outbox.committed()
  await settled(2)
  expect(seen).toEqual(['early', 'late'])
})

it('one that a read has found before its commit was told of is not sent again, behind a later one', async () => {
  const relay = await start()
  await store.transaction(async (tx) => {
    tx.afterCommit(async () => {
      outbox.committed()
      await publish('two')
      await settled(2)
      await until(() => relay.figures().inHand === 0)
    })
    await outbox.publish(tx, { topic: 't', key: 'k', payload: 'one' })
  })
  await relay.drainOnce()
  expect(seen).toEqual(['one', 'two'])
})

it('a relay that stops takes nothing any more, and the next one sends it', async () => {
  outbox = createOutbox(store, { partitions: 2 })
  const [one, other] = ['a', 'b', 'c', 'd', 'e'].reduce<[string?, string?]>((keys, key) => {
    keys[partitionOf(key, 2)] ??= key
    return keys
  }, []) as [string, string]
  let letGo: (() => void) | undefined
  const relay = await start(async (payload) => {
    if (payload === 'slow') await new Promise<void>((resolve) => (letGo = resolve))
    seen.push(payload)
  })
  await store.transaction((tx) => outbox.publish(tx, { topic: 't', key: one, payload: 'slow' }))
  await until(() => letGo)
  let stopped: Promise<void> | undefined
  await store.transaction(async (tx) => {
    tx.afterCommit(() => {
      stopped = relay.stop()
    })
    await outbox.publish(tx, { topic: 't', key: other, payload: 'late' })
  })
  letGo?.()
  await stopped
  expect(seen).toEqual(['slow'])
  await start()
  await settled(2)
  expect(seen).toEqual(['slow', 'late'])
})

it('a stop in the very moment loses nothing', async () => {
  const relay = await start()
  await publish('one')
  await relay.stop()
  await start()
  await settled(1)
  expect(seen).toEqual(['one'])
})

it('who commits has its answer first, and its context does not reach the handler', async () => {
  const context = new AsyncLocalStorage<string>()
  const contexts: unknown[] = []
  const relay = await start((payload) => {
    contexts.push(context.getStore())
    seen.push(payload)
  })
  await context.run('a request', () => publish('one'))
  seen.push('answered')
  await until(() => seen.length === 2)
  expect([seen, contexts, relay.figures().direct]).toEqual([['answered', 'one'], [undefined], 1])
})
