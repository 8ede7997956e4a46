import { setTimeout as sleep } from 'node:timers/promises'
import type { OwnTransaction, Store } from 'holdfast'
import type { Broker, Message } from 'holdfast/broker'
import { createInbox } from 'holdfast/inbox'
import { listLeases } from 'holdfast/lease'
import { createOutbox } from 'holdfast/outbox'
import { storeQueue } from 'holdfast/store-queue'
import { memoryBroker, testMessage } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { until } from '../support/wait.ts'
import { applied, apply, stores } from './stores.ts'

/** A consumer's options; its retries are quick. */
const ledger = {
  topic: 'paid',
  group: 'ledger',
  ttlMs: 10_000, // nothing here waits for one to run out
  retry: { baseMs: 5, capMs: 20, attemptsMax: 3 },
} as const

function send(broker: Broker, messages: readonly Message[]) {
  return broker.publish(messages, { signal: AbortSignal.timeout(5_000) })
}

function numbered(count: number, key: (i: number) => string | null, topic = 'paid'): Message[] {
  return Array.from({ length: count }, (_, i) =>
    testMessage({ id: `m${i}`, topic, key: key(i), payload: { i } }),
  )
}

describe.each(stores)('consumer on $name', ({ open }) => {
  it('handles each message once, in order within a key', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 4 })
    await send(
      broker,
      numbered(200, (i) => `k${i % 7}`),
    )
    await using consumer = createInbox(store).consumer({
      broker,
      ...ledger,
      handler: (tx, { id, key, payload }) => tx.execute(apply(id, `${key}:${(payload as { i: number }).i}`)),
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    const notes = await applied(store)
    expect(notes).toHaveLength(200)
    for (let k = 0; k < 7; k++) {
      const order = notes.filter((n) => n.startsWith(`k${k}:`)).map((n) => Number(n.split(':')[1]))
      expect(order).toEqual([...order].sort((a, b) => a - b))
    }
    expect(broker.unsettled('paid', 'ledger')).toBe(0)
    expect(consumer.figures()).toMatchObject({
      handled: 200,
      duplicates: 0,
      inHand: 0,
      running: 0,
      partitions: 4,
    })
  })

  it('drainOnce handles what is there, gives the partitions back, and leaves the rest for the next call', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 4 })
    const inbox = createInbox(store)
    const options = {
      broker,
      ...ledger,
      handler: (tx: OwnTransaction, { id }: { id: string }) => tx.execute(apply(id, id)),
    }
    await send(
      broker,
      numbered(20, (i) => `k${i % 7}`),
    )
    expect(await inbox.drainOnce(options, { idleMs: 50 })).toMatchObject({ handled: 20, partitions: 0 })
    expect((await listLeases(store)).filter((lease) => lease.leftMs > 0)).toEqual([])
    await send(broker, [testMessage({ id: 'later', topic: 'paid', key: 'k1', payload: {} })])
    expect(await applied(store)).toHaveLength(20)
    expect(await inbox.drainOnce(options, { idleMs: 50 })).toMatchObject({ handled: 1, duplicates: 0 })
    expect(await applied(store)).toHaveLength(21)
  })

  it('drainOnce gives back what is in hand when its deadline passes', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 1 })
    await send(
      broker,
      numbered(1, () => 'k'),
    )
    const options = { broker, ...ledger }
    const stuck = createInbox(store).drainOnce(
      {
        ...options,
        handler: (_tx, _message, { signal }) =>
          new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        handlerTimeoutMs: 300,
        retry: { attemptsMax: 50 },
      },
      { idleMs: 20, deadlineMs: 100 },
    )
    await expect(stuck).rejects.toMatchObject({ code: 'DRAIN_TIMEOUT' })
    const handler = (tx: OwnTransaction, { id }: { id: string }) => tx.execute(apply(id, id))
    const next = await createInbox(store).drainOnce({ ...options, handler }, { idleMs: 50 })
    expect(next).toMatchObject({ handled: 1 })
  })

  it('takes up to `concurrency` keys at a time, and one message of a key', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 2 })
    await send(
      broker,
      numbered(24, (i) => (i < 12 ? 'one' : null)),
    )
    const running = new Map<string, number>()
    let most = 0
    let mostOfKey = 0
    await using consumer = createInbox(store).consumer({
      broker,
      ...ledger,
      concurrency: 4,
      handler: async (_tx, { id, key }) => {
        const lane = key ?? id
        running.set(lane, (running.get(lane) ?? 0) + 1)
        most = Math.max(
          most,
          [...running.values()].reduce((a, b) => a + b),
        )
        mostOfKey = Math.max(mostOfKey, running.get(lane) ?? 0)
        if (!store.dialect.singleWriter) await until(() => most >= 4).catch(() => {})
        running.set(lane, (running.get(lane) ?? 1) - 1)
      },
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    expect(consumer.figures().handled).toBe(24)
    expect(most).toBe(store.dialect.singleWriter ? 1 : 4) // SQLite: the effect row takes the file
    expect(mostOfKey).toBe(1)
  })

  it('publishes with the handler, or not at all', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 2 })
    const outbox = createOutbox(store)
    await send(
      broker,
      numbered(2, () => 'k'),
    )
    let failures = 0
    await using consumer = createInbox(store).consumer({
      broker,
      ...ledger,
      handler: async (tx, { id }, { attempt }) => {
        await outbox.publish(tx, { topic: 'receipt', key: 'k', payload: { for: id, attempt } })
        if (attempt === 1 && failures++ === 0) throw new Error('once')
      },
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    const rows = await store.query<{ payload: string }>(
      'select payload from holdfast_outbox order by sequence',
    )
    expect(rows.map((r) => r.payload)).toEqual(['{"for":"m0","attempt":2}', '{"for":"m1","attempt":1}'])
  })

  it('with `block`, later messages of the key wait until the failing one is a dead letter', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 1 })
    await send(
      broker,
      numbered(4, (i) => (i === 3 ? 'other' : 'k')),
    )
    const attempts: number[] = []
    await using consumer = createInbox(store).consumer({
      broker,
      ...ledger,
      handler: async (tx, { id }, { attempt }) => {
        if (id === 'm1') {
          attempts.push(attempt)
          throw new Error('never works')
        }
        await tx.execute(apply(id, `${id} after ${attempts.length}`))
      },
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    expect(attempts).toEqual([1, 2, 3])
    const notes = await applied(store)
    expect(notes).toContain('m0 after 0')
    expect(notes).toContain('m2 after 3')
    expect(await letters(store)).toEqual([
      { source: 'inbox/ledger', message_id: 'm1', attempts: 3, reason: 'Error: never works', key: 'k' },
    ])
    expect(broker.unsettled('paid', 'ledger')).toBe(0)
    expect(await store.query('select 1 from holdfast_inbox_attempt')).toEqual([])
    expect(consumer.figures()).toMatchObject({ handled: 3, deadLetters: 1, retries: 2 })
  })

  it('with `skip`, they go on, and the failing one is tried again beside them', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 1 })
    await send(
      broker,
      numbered(4, () => 'k'),
    )
    const seen: string[] = []
    await using consumer = createInbox(store, { topics: { paid: { onPoison: 'skip' } } }).consumer({
      broker,
      ...ledger,
      retry: { baseMs: 200, capMs: 200, attemptsMax: 3 },
      handler: async (tx, { id }, { attempt }) => {
        seen.push(id)
        if (id === 'm1' && attempt === 1) throw new Error('not yet')
        await tx.execute(apply(id, id))
      },
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    expect(seen).toEqual(['m0', 'm1', 'm2', 'm3', 'm1'])
    expect((await applied(store)).sort()).toEqual(['m0', 'm1', 'm2', 'm3'])
    expect(await letters(store)).toEqual([])
  })

  it('makes a message that does not fit the schema a dead letter at once, with the path', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 1 })
    const inbox = createInbox(store, {
      topics: { paid: { schema: z.object({ total: z.object({ amount: z.number() }) }) } },
    })
    let runs = 0
    await send(broker, [
      testMessage({ id: 'bad', topic: 'paid', payload: { total: {} } }),
      { ...testMessage({ id: 'worse', topic: 'paid' }), payload: '{"total":' },
      { ...testMessage({ id: 'nul', topic: 'paid' }), payload: '"\0"' },
      { ...testMessage({ topic: 'paid' }), id: 'x'.repeat(100_000) },
      testMessage({ id: 'good', topic: 'paid', payload: { total: { amount: 1 } } }),
    ])
    await using consumer = inbox.consumer({
      broker,
      ...ledger,
      handler: async (_tx, message) => {
        runs += message.payload.total.amount
      },
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    expect(runs).toBe(1)
    const found = (await letters(store)).map((l) => [l.message_id.slice(0, 8), l.attempts, l.reason])
    expect(found).toEqual([
      ['bad', 1, expect.stringContaining('$.total.amount')],
      ['invalid-', 1, expect.stringContaining('id must have at most 200')],
      ['nul', 1, expect.stringContaining('NUL')],
      ['worse', 1, expect.stringContaining('not valid JSON')],
    ])
    expect(broker.unsettled('paid', 'ledger')).toBe(0)
  })

  it('handles a dead letter again when someone asks, once per request', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 2 })
    await send(
      broker,
      numbered(1, () => 'k'),
    )
    let broken = true
    await using consumer = createInbox(store).consumer({
      broker,
      ...ledger,
      deadLetterPollMs: 20,
      retry: { attemptsMax: 1 },
      handler: async (tx, { id }) => {
        if (broken) throw new Error('broken')
        await tx.execute(apply(id, 'mended'))
      },
    })
    await until(async () => (await letters(store)).length === 1)
    const ask = () => store.execute('update holdfast_dead_letter set retry_requested = 1')
    broken = false
    await ask()
    await until(async () => (await applied(store)).length === 1)
    expect(await applied(store)).toEqual(['mended'])
    expect(await letters(store)).toEqual([])

    broken = true
    await send(broker, [testMessage({ id: 'm9', topic: 'paid', key: 'k' })])
    await until(async () => (await letters(store)).length === 1)
    await ask()
    await until(async () => (await letters(store))[0]?.attempts === 2)
    await consumer.drainUntilIdle({ idleMs: 60 })
    expect((await letters(store))[0]).toMatchObject({ attempts: 2, reason: 'Error: broken' })
    expect(await store.query('select retry_requested from holdfast_dead_letter')).toEqual([
      { retry_requested: 0 },
    ])
  })

  it('handles a batch in one transaction, with one statement for all effect rows', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 1 })
    await send(
      broker,
      numbered(50, (i) => `k${i % 5}`),
    )
    const sizes: number[] = []
    await using consumer = createInbox(store).consumer({
      broker,
      ...ledger,
      concurrency: 1,
      batch: { sizeMax: 20 },
      batchHandler: async (tx, messages) => {
        sizes.push(messages.length)
        for (const { id, key } of messages) await tx.execute(apply(id, `${key}:${id.slice(1)}`))
      },
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    const notes = await applied(store)
    expect(notes).toHaveLength(50)
    expect(Math.max(...sizes)).toBe(20)
    for (let k = 0; k < 5; k++) {
      const order = notes.filter((n) => n.startsWith(`k${k}:`)).map((n) => Number(n.split(':')[1]))
      expect(order).toEqual([...order].sort((a, b) => a - b))
    }
  })

  it('falls back to single messages when a batch fails, so that one poison does not take the others along', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 1 })
    await send(
      broker,
      numbered(20, (i) => `k${i}`),
    )
    await using consumer = createInbox(store).consumer({
      broker,
      ...ledger,
      batchHandler: async (tx, messages) => {
        for (const { id } of messages) {
          await tx.execute(apply(id, id))
          if (id === 'm7') throw new Error('poison')
        }
      },
    })
    await consumer.drainUntilIdle({ idleMs: 50 })
    expect((await applied(store)).sort()).toEqual(
      numbered(20, () => null)
        .map((m) => m.id)
        .filter((id) => id !== 'm7')
        .sort(),
    )
    expect((await letters(store)).map((l) => l.message_id)).toEqual(['m7'])
    expect(broker.unsettled('paid', 'ledger')).toBe(0)
  })

  it('shares the partitions with another process, and one hands over to the other when it stops', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 4 })
    const start = (name: string) =>
      createInbox(store).consumer({
        broker,
        ...ledger,
        owner: name,
        handler: (tx, { id }) => tx.execute(apply(id, name)),
      })
    await using first = start('first')
    await first.drainUntilIdle({ idleMs: 20 })
    await using second = start('second')
    await until(() => first.figures().partitions === 2 && second.figures().partitions === 2)
    await send(
      broker,
      numbered(100, (i) => `k${i}`),
    )
    await Promise.all([first.drainUntilIdle({ idleMs: 100 }), second.drainUntilIdle({ idleMs: 100 })])
    const notes = await applied(store)
    expect(notes).toHaveLength(100)
    expect(new Set(notes).size).toBe(2)
    await first.stop()
    await until(() => second.figures().partitions === 4)
  })

  it('is not idle while a subscription that was lost is made again', async () => {
    await using opened = await open()
    let looks = 0
    const store: Store = {
      ...opened.store,
      async transaction(work, options) {
        const result = await opened.store.transaction(work, options)
        if (options?.readOnly) looks += 1
        return result
      },
    }
    await using memory = memoryBroker({ partitions: 1 })
    let lose = (): void => {}
    let subscriptions = 0
    const broker: Broker = {
      ...memory,
      async subscribe(...given) {
        subscriptions += 1
        if (subscriptions > 1) await sleep(400) // longer than what is taken for idle
        const subscription = await memory.subscribe(...given)
        const lost = new Promise<void>((_, reject) => {
          lose = () => reject(new Error('lost'))
        })
        return { ...subscription, done: Promise.race([subscription.done, lost]) }
      },
    }
    await using consumer = createInbox(store).consumer({
      broker,
      ...ledger,
      handler: (tx, { id }) => tx.execute(apply(id, id)),
    })
    await until(() => consumer.figures().partitions === 1)
    looks = 0
    const idle = consumer.drainUntilIdle({ idleMs: 200 })
    await until(() => looks > 0, { what: 'it to see that it reads' })
    lose()
    await until(() => consumer.figures().partitions === 0)
    await send(
      memory,
      numbered(1, () => null),
    )
    await idle
    expect(await applied(store)).toEqual(['m0'])
  })

  it('forgets effects older than the window, a few at a time', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = memoryBroker({ partitions: 1 })
    await using consumer = createInbox(store, { windowMs: 1 }).consumer({
      broker,
      ...ledger,
      handler: async () => {},
    })
    await send(
      broker,
      numbered(5, () => null),
    )
    await until(() => consumer.figures().handled === 5)
    await until(async () => (await store.query('select 1 from holdfast_effect')).length === 0)
  })

  it('says what to do when the tables are missing', async () => {
    await using opened = await open()
    const { store } = opened
    await store.execute(`update holdfast_revision set revision = 0 where capability = 'inbox'`)
    await using broker = memoryBroker()
    const consumer = createInbox(store).consumer({ broker, topic: 't', group: 'g', handler: async () => {} })
    await expect(consumer.done).rejects.toMatchObject({
      code: 'SCHEMA_REVISION',
      message: expect.stringContaining('holdfast migrate'),
    })
    await expect(consumer.drainUntilIdle()).rejects.toMatchObject({ code: 'SCHEMA_REVISION' })
  })

  it('works over a store as the queue, from publish to handler', async () => {
    await using opened = await open()
    const { store } = opened
    await using broker = storeQueue(store, { partitions: 2 })
    const outbox = createOutbox(store)
    await using relay = outbox.relay({ broker })
    await using consumer = createInbox(store).consumer({
      broker,
      ...ledger,
      handler: (tx, { id, payload }) => tx.execute(apply(id, String((payload as { i: number }).i))),
    })
    for (let i = 0; i < 20; i++) {
      await store.transaction((tx) => outbox.publish(tx, { topic: 'paid', key: 'k', payload: { i } }))
    }
    await until(() => relay.figures().relayed === 20)
    await consumer.drainUntilIdle()
    expect(await applied(store)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)))
  })
})

interface Letter {
  readonly source: string
  readonly message_id: string
  readonly attempts: number
  readonly reason: string
  readonly key: string | null
}

function letters(store: Parameters<typeof applied>[0]): Promise<Letter[]> {
  return store.query<Letter>(
    'select source, message_id, attempts, reason, key from holdfast_dead_letter order by message_id',
  )
}
