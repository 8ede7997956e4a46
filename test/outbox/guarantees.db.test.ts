/** Each promise of the relay, and the same scene with its mechanism switched off, where the promise breaks. */
import { type Store, sql } from 'holdfast'
import { directBroker } from 'holdfast/broker'
import { createOutbox, type Relay } from 'holdfast/outbox'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { resolveOutboxOptions } from '../../src/outbox/outbox-options.ts'
import { Partition } from '../../src/outbox/partition.ts'
import { Rate } from '../../src/outbox/rate.ts'
import { OutboxRelay } from '../../src/outbox/relay.ts'
import { readReady } from '../../src/outbox/relay-statements.ts'
import type { StoreAt } from '../support/store-at.ts'
import { until } from '../support/wait.ts'
import { openStore } from './stores.ts'

let opened: StoreAt
let store: Store
let seen: string[]
beforeEach(async () => {
  opened = await openStore('postgres')
  store = opened.store
  seen = []
})
afterEach(async () => {
  vi.restoreAllMocks()
  await opened[Symbol.asyncDispose]()
})

const outbox = () => createOutbox(store, { partitions: 1 })

function relayWith(
  read: typeof readReady,
  {
    batchSize = 100,
    handle = (payload: string): unknown => seen.push(payload),
  }: { batchSize?: number; handle?: (payload: string) => unknown } = {},
): Relay {
  const broker = directBroker({ handle: ({ payload }) => handle(JSON.parse(payload)) })
  const rates = { relayed: new Rate(store.clock), retries: new Rate(store.clock) }
  return new OutboxRelay(
    store,
    resolveOutboxOptions({ partitions: 1 }),
    { broker, batchSize, manual: true },
    rates,
    read,
  )
}

const publish = (key: string, payload: string) =>
  store.transaction((tx) => outbox().publish(tx, { topic: 't', key, payload }))

/** Publishes now and commits when the caller says. */
async function publishSlowly(key: string, payload: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: opened.at })
  await client.connect()
  await client.query('begin')
  await store.join(client, (tx) => outbox().publish(tx, { topic: 't', key, payload }))
  return async () => {
    await client.query('commit')
    await client.end()
  }
}

/** Any open transaction that has written, to another table. */
async function longTransaction(): Promise<() => Promise<void>> {
  await store.execute('create table if not exists unrelated (n integer)')
  const client = new pg.Client({ connectionString: opened.at })
  await client.connect()
  await client.query('begin')
  await client.query('insert into unrelated values (1)')
  return async () => {
    await client.query('rollback')
    await client.end()
  }
}

describe('a message whose transaction commits late is not skipped', () => {
  async function scene(relay: Relay): Promise<void> {
    const commit = await publishSlowly('a', 'late')
    await publish('b', 'early')
    await relay.drainOnce()
    expect(seen).toEqual(['early'])
    await commit()
    await relay.drainOnce()
  }

  it('with the read from the start', async () => {
    await scene(relayWith(readReady))
    expect(seen).toEqual(['early', 'late'])
  })

  it('BREAKS when the read goes on behind the last number it saw', async () => {
    let reads = 0
    const cursor: typeof readReady = (s, request) => {
      // The late message has the number 1 and the early one 2: having seen 2, a cursor stands behind both.
      const behind = reads++ === 0 ? 0 : 2
      return sql`select * from (${readReady(s, request)}) as ready where ready.sequence > ${behind}`
    }
    await scene(relayWith(cursor))
    expect(seen).toEqual(['early'])
  })
})

describe('a long transaction that has nothing to do with the outbox holds nothing up', () => {
  async function scene(relay: Relay): Promise<() => Promise<void>> {
    const end = await longTransaction()
    await publish('a', 'one')
    await publish('a', 'two')
    await relay.drainOnce()
    return end
  }

  it('with the read from the start', async () => {
    const end = await scene(relayWith(readReady))
    expect(seen).toEqual(['one', 'two'])
    await end()
  })

  it('BREAKS when the read stays below the oldest open transaction, which also skips nothing', async () => {
    const belowHorizon: typeof readReady = (s, request) =>
      sql`select ready.* from (${readReady(s, request)}) as ready join ${s.table('outbox')} as o using (sequence) where o.xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint`
    const relay = relayWith(belowHorizon)
    const end = await scene(relay)
    expect(seen).toEqual([])
    await end()
    // Again and again, since transactions of other databases on the server hold this reader up as well.
    await until(async () => (await relay.drainOnce()) >= 0 && seen.length === 2)
    expect(seen).toEqual(['one', 'two'])
  })
})

describe('the messages of a key are delivered in order', () => {
  /** The first message takes until the second overtook it, or until it is clear that it will not. */
  async function scene(read: typeof readReady): Promise<void> {
    const relay = relayWith(read, {
      batchSize: 1,
      handle: async (payload) => {
        if (payload === 'one') await until(() => seen.includes('two'), { deadlineMs: 300 }).catch(() => {})
        seen.push(payload)
      },
    })
    await publish('a', 'one')
    await publish('a', 'two')
    await relay.drainOnce()
  }

  it('since a partition is read again only when the publish before has settled', async () => {
    await scene(readReady)
    expect(seen).toEqual(['one', 'two'])
  })

  it('BREAKS when the next batch is read and published beside the one before', async () => {
    vi.spyOn(Partition.prototype, 'isReadable').mockImplementation(function (this: Partition) {
      return this.dirty
    })
    let reads = 0
    const ahead: typeof readReady = (s, request) =>
      sql`select * from (${readReady(s, { ...request, limit: 10 })}) as ready where ready.sequence > ${reads++} limit ${request.limit}`
    await scene(ahead)
    expect(seen).toEqual(['two', 'one'])
  })

  it('also when the first one commits last and the second was published after that', async () => {
    const relay = relayWith(readReady)
    const commit = await publishSlowly('a', 'one')
    await publish('b', 'other')
    await relay.drainOnce()
    await commit()
    await publish('a', 'two')
    await relay.drainOnce()
    expect(seen).toEqual(['other', 'one', 'two'])
  })

  it('BREAKS there when the read goes on behind the last number and looks back only now and then', async () => {
    let reads = 0
    const cursor: typeof readReady = (s, request) => {
      const behind = [0, 2, 2, 0][reads++] ?? 0
      return sql`select * from (${readReady(s, request)}) as ready where ready.sequence > ${behind}`
    }
    const relay = relayWith(cursor)
    const commit = await publishSlowly('a', 'one')
    await publish('b', 'other')
    await relay.drainOnce()
    await commit()
    await publish('a', 'two')
    await relay.drainOnce()
    await relay.drainOnce()
    await relay.drainOnce()
    expect(seen).toEqual(['other', 'two', 'one'])
  })
})
