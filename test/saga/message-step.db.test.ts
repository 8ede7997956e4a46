/** `s.message`: asked and answered through outbox, broker and inbox, over the embedded broker and over NATS. */
import { randomBytes } from 'node:crypto'
import { type Store, sql } from 'holdfast'
import { createOutbox } from 'holdfast/outbox'
import { deliverReply, MESSAGE_HEADERS, saga } from 'holdfast/saga'
import { storeQueue } from 'holdfast/store-queue'
import { testMessage } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import type { Broker } from '../../src/broker/index.ts'
import { openBroker } from '../broker/open-broker.ts'
import { describeWith, natsServer } from '../support/servers.ts'
import { until } from '../support/wait.ts'
import { kitchen, orderSaga, receiveReplies } from './message-world.ts'
import { reusedStores as stores } from './reused.ts'
import { effectsOf, type OpenedStore, startRunner } from './stores.ts'

const [sqlite, postgres] = stores as [(typeof stores)[number], (typeof stores)[number]]

interface World extends AsyncDisposable {
  readonly store: Store
  readonly kitchenStore: Store
  /** One connection to the broker for each side. */
  readonly brokers: readonly [Broker, Broker]
}

async function openWorld(
  { open }: (typeof stores)[number],
  connect: (opened: OpenedStore) => Promise<{ broker: Broker; close(): Promise<void> }>,
): Promise<World> {
  const opened = await open()
  const { store: kitchenStore } = await opened.second()
  const [one, other] = [await connect(opened), await connect(opened)]
  return {
    store: opened.store,
    kitchenStore,
    brokers: [one.broker, other.broker],
    async [Symbol.asyncDispose]() {
      for (const { broker, close } of [one, other]) {
        await broker.close()
        await close()
      }
      await opened[Symbol.asyncDispose]()
    },
  }
}

const embedded = async ({ store }: OpenedStore) => ({ broker: storeQueue(store), close: async () => {} })

function describeMessages(name: string, open: () => Promise<World>): void {
  describe(`a step by message over ${name}`, () => {
    /** The side of the orders, all of it at work: its saga with a runner, its relay, and who takes the replies. */
    const openOrders = async ({ store, brokers }: World) => {
      const suffix = randomBytes(4).toString('hex')
      const topics = { orders: `dishes-${suffix}`, replies: `cooked-${suffix}` }
      const outbox = createOutbox(store)
      const order = orderSaga(outbox, topics)
      const relay = outbox.relay({ broker: brokers[0] })
      const replies = receiveReplies(store, brokers[0], topics)
      const runner = await startRunner(store, [order])
      return {
        topics,
        order,
        replies,
        async [Symbol.asyncDispose]() {
          for (const part of [runner, replies, relay]) await part[Symbol.asyncDispose]()
        },
      }
    }

    it('has its effect once and gets its reply, however often the reply comes', async () => {
      await using world = await open()
      const { store, kitchenStore, brokers } = world
      await using orders = await openOrders(world)
      const { topics, order, replies } = orders
      await using _kitchen = kitchen(kitchenStore, brokers[1], topics, { replies: 3 })
      const dishes = ['soup', 'noodles', 'rice', 'o’dish “5” 🍜\n']
      const results = await Promise.all(
        dishes.map((dish) => order.run(store, { dish }, { id: `of ${dish}` })),
      )
      expect(results).toEqual(dishes.map((dish) => dish.length))
      await until(() => replies.delivered.length === 12, { deadlineMs: 20_000, what: 'every reply to come' })
      for (const dish of dishes) expect(await effectsOf(kitchenStore, `of ${dish}`)).toEqual([`do ${dish}`])
      // A saga that has ended does not take what comes late.
      expect(await deliverReply0(store, 'of soup')).toBe(false)
    })

    it('that is not answered in time is undone, its outcome unknown; what is cooked later is refused or thrown away', async () => {
      await using world = await open()
      const { store, kitchenStore, brokers } = world
      await using orders = await openOrders(world)
      const { topics, order, replies } = orders
      const handle = await order.start(store, { dish: 'soup', patienceMs: 50 }, { id: 'late' })
      await expect(handle.result()).rejects.toMatchObject({
        code: 'SAGA_FAILED',
        message: expect.stringContaining('reply:cook'),
      })
      // The kitchen opens only now: the order and its undo are both there, in this order.
      await using _kitchen = kitchen(kitchenStore, brokers[1], topics)
      await until(async () => (await effectsOf(kitchenStore, 'late')).length === 2, {
        what: 'the undo to come',
      })
      expect(await effectsOf(kitchenStore, 'late')).toEqual(['do soup', 'undo soup'])
      await until(() => replies.delivered.length > 0, { what: 'the reply that is too late' })
      expect(replies.delivered).toEqual([false])
      expect(await handle.state()).toBe('failed')
    })

    it('that was answered is undone when the saga goes back', async () => {
      await using world = await open()
      const { store, kitchenStore, brokers } = world
      await using orders = await openOrders(world)
      const { topics, order } = orders
      await using _kitchen = kitchen(kitchenStore, brokers[1], topics, {
        answer: (dish) => (dish === 'tea' ? { nothing: true } : { number: 4 }),
      })
      await expect(order.run(store, { dish: 'soup', fails: true }, { id: 'back' })).rejects.toThrow('guest')
      // A reply that lacks a field is an error of the step.
      await expect(order.run(store, { dish: 'tea' }, { id: 'tea' })).rejects.toThrow('$.number: not given')
      for (const [id, dish] of [
        ['back', 'soup'],
        ['tea', 'tea'],
      ] as const) {
        await until(async () => (await effectsOf(kitchenStore, id)).length === 2)
        expect(await effectsOf(kitchenStore, id)).toEqual([`do ${dish}`, `undo ${dish}`])
      }
    })
  })
}

const deliverReply0 = (store: Store, sagaId: string) =>
  store.transaction((tx) =>
    deliverReply(tx, {
      ...testMessage({ headers: { [MESSAGE_HEADERS.saga]: sagaId, [MESSAGE_HEADERS.step]: 'cook' } }),
      payload: { number: 1 },
    }),
  )

describeMessages('the embedded broker on SQLite', () => openWorld(sqlite, embedded))
describeMessages('the embedded broker on PostgreSQL', () => openWorld(postgres, embedded))
describeWith(await natsServer(), 'with a server', (url) => {
  describeMessages('NATS', () => openWorld(postgres, () => openBroker(url)))
})

describe.each(stores)('what cannot be sent, on $name', ({ open }) => {
  it('fails the step before it is sent, and holds up nobody else', async () => {
    await using opened = await open()
    const { store } = opened
    const outbox = createOutbox(store, {
      topics: {
        dishes: { schema: { '~standard': { version: 1, vendor: 'test', validate: onlySoup } } },
      },
      otherTopics: 'refuse',
      payloadLimitBytes: 1_000,
    })
    const undone: string[] = []
    const ask = saga('ask', async (s, what: { topic: string; payload: unknown; key?: string }) => {
      await s.step('before', () => {}, { undo: () => void undone.push(s.sagaId) })
      await s.message('send', { outbox: outbox as never, ...what })
      return 'sent'
    })
    await using _runner = await startRunner(store, [ask])
    const bad = {
      schema: { topic: 'dishes', payload: 'stone' },
      topic: { topic: 'nobody knows', payload: 'soup' },
      key: { topic: 'dishes', payload: 'soup', key: 'k'.repeat(3_000) },
      size: { topic: 'dishes', payload: 'x'.repeat(2_000) },
    }
    const handles = await Promise.all([
      ...Object.entries(bad).map(([id, what]) => ask.start(store, what, { id })),
      ask.start(store, { topic: 'dishes', payload: 'soup' }, { id: 'good' }),
    ])
    expect(await handles.at(-1)?.result()).toBe('sent')
    for (const handle of handles.slice(0, -1))
      await expect(handle.result()).rejects.toThrow('step "send" failed')
    expect(undone.sort()).toEqual(Object.keys(bad).sort())
  })

  it('two sagas of long ids that end alike send two messages', async () => {
    await using opened = await open()
    const { store } = opened
    const outbox = createOutbox(store)
    const ask = saga('ask', async (s) => {
      await s.message('send', { outbox, topic: 't', payload: 1 })
    })
    await using _runner = await startRunner(store, [ask])
    // At the place where the ids are cut, half of a letter would be left.
    const ids = ['a', 'b'].map((first) => `${first}${'💶'.repeat(199)}`)
    await Promise.all(ids.map((id) => ask.run(store, undefined, { id })))
    const rows = await store.query<{ message_id: string }>(
      sql`select message_id from ${store.table('outbox')}`,
    )
    expect(new Set(rows.map((row) => row.message_id)).size).toBe(2)
  })
})

function onlySoup(value: unknown) {
  return value === 'soup' || (typeof value === 'string' && value.length > 100)
    ? { value }
    : { issues: [{ message: 'only soup' }] }
}
