import fc from 'fast-check'
import { type Store, sql } from 'holdfast'
import { type Broker, BrokerUnavailableError, directBroker, type Message } from 'holdfast/broker'
import { createOutbox, deadLetters, type Outbox, type RelayOptions } from 'holdfast/outbox'
import { describe, expect, it } from 'vitest'
import { LINGER_MS } from '../../src/core/poll-pace.ts'
import { openStoreAt } from '../support/store-at.ts'
import { storeKinds } from '../support/stores.ts'
import { until } from '../support/wait.ts'
import { countRows, useStore } from './stores.ts'

describe.each(storeKinds)('relay on %s', (kind) => {
  let store: Store
  let at: string
  useStore(kind, (opened) => {
    ;({ store, at } = opened)
  })

  const retry = { baseMs: 1, capMs: 2 }
  const broker = (handle: (message: Message) => unknown): Broker => directBroker({ handle })
  const manual = (outbox: Outbox, handle: (message: Message) => unknown, more: Partial<RelayOptions> = {}) =>
    outbox.relay({ broker: broker(handle), manual: true, retry, ...more })
  const publish = (
    outbox: Outbox,
    messages: readonly { topic?: string; key?: string | null; payload: unknown }[],
  ) =>
    store.transaction(async (tx) => {
      for (const message of messages) await outbox.publish(tx, { topic: 't', ...message })
    })
  const count = (n: number, of: (i: number) => { topic?: string; key?: string | null; payload: unknown }) =>
    Array.from({ length: n }, (_, i) => of(i))

  it('hands over everything as it was published, and leaves nothing behind', async () => {
    const outbox = createOutbox(store)
    const seen: Message[] = []
    await store.transaction(async (tx) => {
      await outbox.publish(tx, {
        topic: 'a',
        key: 'k',
        id: 'i',
        payload: { n: [1] },
        headers: { baggage: 'x=y' },
      })
    })
    await using relay = manual(outbox, (message) => seen.push(message))
    expect(await relay.drainOnce()).toBe(1)
    expect(seen).toEqual([
      {
        id: 'i',
        topic: 'a',
        key: 'k',
        payload: '{"n":[1]}',
        headers: { baggage: 'x=y' },
        publishedAtMs: expect.any(Number),
      },
    ])
    expect(Math.abs(Date.now() - (seen[0]?.publishedAtMs ?? 0))).toBeLessThan(60_000)
    expect(await countRows(store, 'outbox')).toBe(0)
    expect(await relay.drainOnce()).toBe(0)
  })

  it('is woken by a commit of its own process, long before the next poll', async () => {
    const outbox = createOutbox(store)
    const seen: Message[] = []
    await using relay = outbox.relay({
      broker: broker((message) => seen.push(message)),
      pollMinMs: 60_000,
      pollMaxMs: 60_000,
    })
    await relay.drainOnce()
    // Published through another object for the same outbox, as another module of the application would.
    await publish(createOutbox(store), [{ payload: 1 }])
    await until(() => seen.length === 1)
    await until(() => relay.figures().inHand === 0)
  })

  it('finds messages of other processes by polling, and polls seldom when there are none', async () => {
    const outbox = createOutbox(store)
    await using other = await openStoreAt(at)
    const seen: Message[] = []
    await using relay = outbox.relay({
      broker: broker((message) => seen.push(message)),
      pollMinMs: 2,
      pollMaxMs: 50,
    })
    await other.store.transaction((tx) => createOutbox(other.store).publish(tx, { topic: 't', payload: 1 }))
    await until(() => seen.length === 1)
    await until(() => relay.figures().emptyReads > 10)
  })

  it('does not take a message of its own process, met before its commit is announced, for one of another', async () => {
    const outbox = createOutbox(store)
    const seen: Message[] = []
    await using relay = outbox.relay({ broker: broker((message) => seen.push(message)), pollMinMs: 1 })
    const emptyReads = () => relay.figures().emptyReads
    await until(() => emptyReads() > 3)
    await store.transaction(async (tx) => {
      // By a poll: the hook that wakes the relay comes after this one.
      tx.afterCommit(async () => void (await until(() => seen.length === 1)))
      await outbox.publish(tx, { topic: 't', payload: 1 })
    })
    const [beganMs, before] = [store.clock.monotonic(), emptyReads()]
    await until(() => emptyReads() >= before + 6)
    // Six at the pace for messages of others take 6 ms.
    expect(store.clock.monotonic() - beganMs).toBeGreaterThan(LINGER_MS)
  })

  it('a quiet relay, which asks for ready and delayed messages at once, finds both', async () => {
    await using other = await openStoreAt(at)
    const seen: string[] = []
    await using relay = createOutbox(store).relay({
      broker: broker((message) => seen.push(message.id)),
      pollMinMs: 100,
      pollMaxMs: 100,
    })
    await until(() => relay.figures().emptyReads > 3)
    const elsewhere = createOutbox(other.store)
    for (const id of ['first', 'second']) {
      await other.store.transaction(async (tx) => {
        await elsewhere.publish(tx, { topic: 't', payload: 1, id })
        await elsewhere.publish(tx, { topic: 't', payload: 1, id: `${id}, later`, deliverAfterMs: 150 })
      })
      await until(() => seen.includes(id) && seen.includes(`${id}, later`))
    }
    expect(seen).toHaveLength(4)
  })

  it('keeps the order of each key when the broker refuses at random', async () => {
    const scenario = fc.record({
      keys: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 60 }),
      failures: fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
      batchSize: fc.integer({ min: 1, max: 20 }),
      asynchronous: fc.boolean(),
    })
    let run = 0
    await fc.assert(
      fc.asyncProperty(scenario, async ({ keys, failures, batchSize, asynchronous }) => {
        const outbox = createOutbox(store, { name: `run ${run++}`, partitions: 3 })
        await publish(
          outbox,
          keys.map((key, payload) => ({ key: `k${key}`, payload })),
        )
        const seen: [key: string, n: number][] = []
        let tries = 0
        await using relay = manual(
          outbox,
          async ({ key, payload }) => {
            const fails = failures[tries++] ?? false
            if (asynchronous) await new Promise(setImmediate)
            if (fails) throw new Error('refused')
            seen.push([key as string, Number(payload)])
          },
          { batchSize, retry: { baseMs: 1, capMs: 1, attemptsMax: 1_000 } },
        )
        while (seen.length < keys.length) await relay.drainOnce()
        for (const key of new Set(keys)) {
          const expected = keys.flatMap((k, n) => (k === key ? [n] : []))
          expect(seen.filter(([k]) => k === `k${key}`).map(([, n]) => n)).toEqual(expected)
        }
        expect((await outbox.figures()).backlog).toBe(0)
      }),
      { numRuns: kind === 'postgres' ? 15 : 40 },
    )
  })

  it('a failing key with a backlog of 5,000 does not hold up the others', async () => {
    const outbox = createOutbox(store, { partitions: 1 })
    await publish(
      outbox,
      count(5_000, (payload) => ({ key: 'bad', payload })),
    )
    await publish(
      outbox,
      count(2_000, (payload) => ({ key: `good ${payload % 7}`, payload })),
    )
    const seen: string[] = []
    await using relay = manual(
      outbox,
      ({ key }) => {
        if (key === 'bad') throw new Error('no')
        seen.push(key as string)
      },
      { batchSize: 100, retry: { baseMs: 60_000, capMs: 60_000 } },
    )
    expect(await relay.drainOnce()).toBe(2_000)
    expect(relay.figures()).toMatchObject({ relayed: 2_000, retries: 1 })
    // Few reads more than the good ones take: those of the bad key are not fetched again and again.
    expect(relay.figures().reads).toBeLessThan(40)
    expect((await outbox.figures()).backlog).toBe(5_000)
  })

  it('a blocked key stays blocked for the relay that takes over', async () => {
    const outbox = createOutbox(store)
    await publish(outbox, [
      { key: 'k', payload: 1 },
      { key: 'k', payload: 2 },
      { key: 'other', payload: 3 },
    ])
    const seen: string[] = []
    const handle = ({ payload }: Message): unknown => seen.push(payload)
    const slow = { retry: { baseMs: 600_000, capMs: 600_000 } }
    const first = manual(
      outbox,
      (message) => {
        if (message.key === 'k') throw new Error('no')
        handle(message)
      },
      slow,
    )
    await first.drainOnce()
    await first.stop()
    await using second = manual(outbox, handle, slow)
    expect(await second.drainOnce()).toBe(0)
    expect(seen).toEqual(['3'])
    expect(second.figures().retries).toBe(0)
  })

  it('gives up after the attempts of the topic: a dead letter with reason and stack, and the key goes on', async () => {
    const outbox = createOutbox(store, { topics: { t: { attemptsMax: 3 } } })
    await publish(outbox, [
      { key: 'k', payload: 'bad' },
      { key: 'k', payload: 'good' },
    ])
    const seen: string[] = []
    await using relay = manual(outbox, ({ payload }) => {
      if (payload === '"bad"') throw Object.assign(new TypeError('too\0 large'), { code: 'E_LARGE' })
      seen.push(payload)
    })
    while (seen.length < 1) await relay.drainOnce()
    expect(seen).toEqual(['"good"'])
    expect(relay.figures()).toMatchObject({ retries: 2, deadLetters: 1 })
    expect(await deadLetters(store).list()).toMatchObject([
      {
        source: 'outbox/default',
        topic: 't',
        key: 'k',
        payload: '"bad"',
        reason: 'TypeError: too\u2400 large',
        errorCode: 'E_LARGE',
        stack: expect.stringContaining('relay.db.test.ts'),
        attempts: 3,
        retryRequested: false,
      },
    ])
    expect(await outbox.figures()).toMatchObject({ backlog: 0, later: 0, deadLetters: 1 })
  })

  it('with "skip" the later messages of the key go on, and the failing one is tried beside them', async () => {
    const outbox = createOutbox(store, { topics: { t: { onFailure: 'skip' } } })
    await publish(
      outbox,
      count(4, (payload) => ({ key: 'k', payload })),
    )
    const seen: string[] = []
    let failures = 2
    await using relay = manual(outbox, ({ payload }) => {
      if (payload === '1' && failures-- > 0) throw new Error('no')
      seen.push(payload)
    })
    await until(async () => (await relay.drainOnce()) >= 0 && seen.length === 4)
    expect(seen).toEqual(['0', '2', '3', '1'])
    expect(await outbox.figures()).toMatchObject({ backlog: 0, later: 0 })
  })

  it('a delayed message comes when it is due, not before', async () => {
    const outbox = createOutbox(store)
    const seenAtMs = new Map<string, number>()
    const beganMs = performance.now()
    await store.transaction(async (tx) => {
      await outbox.publish(tx, { topic: 't', payload: 'in an hour', deliverAfterMs: 3_600_000 })
      await outbox.publish(tx, { topic: 't', payload: 'soon', deliverAfterMs: 150 })
      await outbox.publish(tx, { topic: 't', payload: 'now' })
    })
    await using relay = outbox.relay({
      broker: broker(({ payload }) => void seenAtMs.set(payload, performance.now() - beganMs)),
    })
    await until(() => seenAtMs.size >= 2)
    expect([...seenAtMs.keys()].sort()).toEqual(['"now"', '"soon"'])
    // Not before: the store counts in whole milliseconds. Which of the two comes first is up to when the relay looks.
    expect(seenAtMs.get('"soon"')).toBeGreaterThanOrEqual(149)
    await until(() => relay.figures().inHand === 0)
    expect(await outbox.figures()).toMatchObject({ later: 1, backlog: 0 })
  })

  it('a broker that is out of reach costs no attempts', async () => {
    const outbox = createOutbox(store)
    await publish(
      outbox,
      count(10, (payload) => ({ key: 'k', payload })),
    )
    const seen: string[] = []
    const direct = broker(({ payload }) => seen.push(payload))
    let down = 3
    const flaky: Broker = {
      ...direct,
      publish: async (batch, options) => {
        if (down-- > 0) throw new BrokerUnavailableError('flaky')
        return direct.publish(batch, options)
      },
    }
    const byHand = outbox.relay({ broker: flaky, manual: true })
    await expect(byHand.drainOnce()).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' })
    await byHand.stop()
    await using relay = outbox.relay({ broker: flaky })
    await until(() => seen.length === 10)
    expect(relay.figures()).toMatchObject({ retries: 0, deadLetters: 0 })
  })

  it('a message without an answer is sent again and costs no attempt', async () => {
    const outbox = createOutbox(store)
    await publish(
      outbox,
      count(6, (payload) => ({ key: 'k', payload })),
    )
    const seen: string[] = []
    const direct = broker(({ payload }) => seen.push(payload))
    let silent = 2
    const losing: Broker = {
      ...direct,
      publish: async (batch, options) => {
        const results = await direct.publish(batch, options)
        return silent-- > 0
          ? results.map((r, i) => (i < 3 ? r : { kind: 'unknown', error: new Error('lost') }))
          : results
      },
    }
    await using relay = outbox.relay({ broker: losing })
    await until(async () => (await countRows(store, 'outbox')) === 0)
    expect(seen.slice(0, 3)).toEqual(['0', '1', '2'])
    expect([...new Set(seen)]).toEqual(['0', '1', '2', '3', '4', '5'])
    expect(relay.figures()).toMatchObject({ retries: 0, relayed: 6 })
  })

  it('stop() waits for what is in hand, and no longer than drainMs', async () => {
    const outbox = createOutbox(store)
    await publish(outbox, [{ payload: 1 }])
    let finish: () => void = () => {}
    let started = false
    const handle = () => {
      started = true
      return new Promise<void>((resolve) => {
        finish = resolve
      })
    }
    const patient = outbox.relay({ broker: broker(handle) })
    await until(() => started)
    const stopping = patient.stop({ drainMs: 20_000 })
    finish()
    await stopping
    await patient.done
    expect(await countRows(store, 'outbox')).toBe(0)

    await publish(outbox, [{ payload: 2 }])
    started = false
    const hasty = outbox.relay({ broker: broker(handle) })
    await until(() => started)
    await hasty.stop({ drainMs: 10 })
    expect(await countRows(store, 'outbox')).toBe(1)
    await using next = manual(outbox, () => {})
    expect(await next.drainOnce()).toBe(1)
  })

  it('ends with a remedy when its tables are missing', async () => {
    await store.execute(sql`drop table ${store.table('dead_letter')}`)
    await store.execute(sql`delete from ${store.table('revision')} where capability = 'dead-letter'`)
    const relay = createOutbox(store).relay({ broker: broker(() => {}) })
    await expect(relay.done).rejects.toMatchObject({ code: 'SCHEMA_REVISION', message: /holdfast migrate/ })
    await relay.stop()
  })

  it('ends with an error when its store is closed under it', async () => {
    const opened = await openStoreAt(at)
    const outbox = createOutbox(opened.store)
    const seen: Message[] = []
    const relay = outbox.relay({ broker: broker((message) => seen.push(message)), ttlMs: 3_000 })
    await relay.drainOnce()
    await opened[Symbol.asyncDispose]()
    await expect(relay.done).rejects.toMatchObject({ code: 'STORE_CLOSED', outcome: 'not-applied' })
    await relay.stop()
    await expect(opened.store.query('select 1')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  })

  it('ends too when its store is closed before what the broker has is deleted', async () => {
    const opened = await openStoreAt(at)
    const outbox = createOutbox(opened.store)
    let closed: PromiseLike<void> | undefined
    const relay = outbox.relay({
      broker: broker(() => {
        closed = opened[Symbol.asyncDispose]()
      }),
      ttlMs: 3_000,
    })
    await relay.drainOnce()
    await opened.store.transaction((tx) => outbox.publish(tx, { topic: 't', payload: 1 }))
    await expect(relay.done).rejects.toMatchObject({ code: 'STORE_CLOSED' })
    await relay.stop()
    await closed
  })

  it('two outboxes of one store do not mix', async () => {
    const [a, b] = [createOutbox(store, { name: 'a' }), createOutbox(store, { name: 'b' })]
    await publish(a, [{ payload: 'for a' }])
    await publish(b, [{ payload: 'for b' }])
    const seen: string[] = []
    await using relay = manual(b, ({ payload }) => seen.push(payload))
    await relay.drainOnce()
    expect(seen).toEqual(['"for b"'])
    expect((await a.figures()).backlog).toBe(1)
    expect((await a.figures()).oldestAgeMs).toBeGreaterThanOrEqual(0)
  })

  it('refuses options that cannot work, all at once', () => {
    const outbox = createOutbox(store)
    const wrong = { broker: {}, pollMinMs: -1, batchsize: 5, retry: { max: 3 } } as never
    expect(() => outbox.relay(wrong)).toThrow(
      /unknown option "batchsize".*broker must be.*pollMinMs must be.*unknown option "retry.max"/s,
    )
    expect(() =>
      createOutbox(store, { topics: { a: { onfailure: 'skip' } as never }, partitions: 0 }),
    ).toThrow(/partitions must be.*topics\["a"\]\.onfailure/s)
  })
})
