import { type Store, sql } from 'holdfast'
import { type Broker, directBroker, type Message } from 'holdfast/broker'
import { StaleEpochError } from 'holdfast/effects'
import { createInbox } from 'holdfast/inbox'
import { putDeadLetter } from 'holdfast/outbox'
import { memoryBroker, testMessage } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { askAgain, takeRequest } from '../../src/inbox/dead-letter.ts'
import { applied, apply, stores } from './stores.ts'

const quick = {
  topic: 'paid',
  group: 'ledger',
  ttlMs: 10_000, // nothing here waits for one to run out
  retry: { baseMs: 5, capMs: 20, attemptsMax: 2 },
}

const send = (broker: Broker, messages: readonly Message[]) =>
  broker.publish(messages, { signal: AbortSignal.timeout(5_000) })

const reasons = async (store: Store): Promise<string[]> =>
  (await store.query<{ reason: string }>('select reason from holdfast_dead_letter')).map((row) => row.reason)

describe.each(stores)('what could stop a consumer, on $name', ({ open }) => {
  it('messages that no Holdfast wrote each become a dead letter, and the partition goes on', async () => {
    await using opened = await open()
    await using broker = memoryBroker({ partitions: 1 })
    const foreign = (payload: string): Message => ({
      ...testMessage({ id: '', topic: 'paid' }),
      payload,
      headers: undefined as never,
      publishedAtMs: Number.NaN,
    })
    await send(broker, [foreign('"a"'), foreign('"b"'), testMessage({ id: 'ours', topic: 'paid' })])
    await using consumer = createInbox(opened.store).consumer({
      broker,
      ...quick,
      handler: (tx, { id }) => tx.execute(apply(id, id)),
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    expect(await applied(opened.store)).toEqual(['ours'])
    expect(await reasons(opened.store)).toEqual(Array(2).fill(expect.stringContaining('id must be')))
  })

  it('a handler that lost a lease of its own has failed, and has not lost the partition', async () => {
    await using opened = await open()
    await using broker = memoryBroker({ partitions: 1 })
    await send(broker, [testMessage({ id: 'm', topic: 'paid' })])
    await using consumer = createInbox(opened.store).consumer({
      broker,
      ...quick,
      handler: async () => {
        throw new StaleEpochError('lease of the handler', { presented: 1n, current: 2n })
      },
    })
    await consumer.drainUntilIdle({ idleMs: 200 })
    expect(await reasons(opened.store)).toEqual([expect.stringContaining('lease of the handler')])
  })

  it('a crash is remembered until a subscription stands', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 1 })
    await send(broker, [testMessage({ id: 'm', topic: 'paid' })])
    await store.execute(
      sql`insert into holdfast_inbox_session (scope, reads_partition, owner) values ('inbox/ledger/paid', 0, 'killed')`,
    )
    let refusals = 2
    const counted: number[] = []
    await using consumer = createInbox(store).consumer({
      broker: {
        ...broker,
        subscribe: (...given) =>
          refusals-- > 0 ? Promise.reject(new Error('not yet')) : broker.subscribe(...given),
      },
      ...quick,
      handler: async (tx) => {
        counted.push((await tx.query('select attempts from holdfast_inbox_attempt')).length)
      },
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    expect(counted).toEqual([1])
    await consumer.stop()
    expect(await store.query('select owner from holdfast_inbox_session')).toEqual([])
  })

  it('a request to retry that was not taken is not given back', async () => {
    await using opened = await open()
    const { store } = opened
    const id = await store.transaction((tx) =>
      putDeadLetter(tx, { source: 'inbox/ledger', message: testMessage(), attempts: 3, error: 'broken' }),
    )
    const look = () => store.query('select attempts, retry_requested from holdfast_dead_letter')
    await store.execute('update holdfast_dead_letter set retry_requested = 1')
    await store.transaction((tx) => askAgain(tx, id))
    expect(await look()).toEqual([{ attempts: 3, retry_requested: 1 }])
    expect(await takeRequest(store, id, AbortSignal.timeout(5_000))).toBe(true)
    await store.transaction((tx) => askAgain(tx, id))
    expect(await look()).toEqual([{ attempts: 3, retry_requested: 1 }])
  })
})

describe.each(stores.slice(0, 1))('what a person must put right, on $name', ({ open }) => {
  it('ends the consumer', async () => {
    await using opened = await open()
    const consumer = createInbox(opened.store).consumer({
      broker: directBroker({ handle: () => {} }),
      ...quick,
      handler: async () => {},
    })
    await expect(consumer.done).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  it('is said at once of a prefetch that no broker takes', async () => {
    await using opened = await open()
    const inbox = createInbox(opened.store)
    expect(() =>
      inbox.consumer({ broker: memoryBroker(), ...quick, prefetch: 65_536, handler: async () => {} }),
    ).toThrow('prefetch')
  })
})
