import { randomUUID } from 'node:crypto'
import type { Broker, Delivery, Message, PublishResult, Subscription } from '../broker/index.ts'
import { partitionOfMessage } from '../broker/index.ts'
import type { TestKit } from './test-kit.ts'

/** A server that a test may kill and bring back with its data. */
export interface BrokerServer {
  kill(): Promise<void>
  start(): Promise<void>
}

/** One set-up of a broker, made for one test. */
export interface BrokerSetup {
  /** One more broker object, as another process would make one. The suite closes it. */
  open(): Promise<Broker>
  /** A process that subscribes, keeps what it gets without settling, and is killed. */
  readonly hoard: (options: { topic: string; group: string; partition: number; count: number }) => Promise<{
    /** Ids of what the process had in hand when it was killed. */
    readonly held: readonly string[]
  }>
  /** Needed with `restarts`. */
  readonly server?: BrokerServer
  dispose(): Promise<void>
}

export interface BrokerContractOptions {
  /**
   * How often the last test kills the server and starts it again. 0 where there is no server, or none that the tests
   * may kill: the tests that do so are then left out.
   */
  readonly restarts: number
}

const WAIT_MS = 20_000

/**
 * What every broker must do, run against a real server.
 *
 * `setUp` is called once per test. Topics and groups have random names, so a shared server is fine.
 */
export function describeBrokerContract(
  kit: TestKit,
  name: string,
  setUp: () => Promise<BrokerSetup>,
  { restarts }: BrokerContractOptions,
): void {
  const { it } = kit
  const equal = (actual: unknown, expected: unknown): void => kit.expect(actual).toEqual(expected)
  kit.describe(`broker contract: ${name}`, () => {
    let setup: BrokerSetup | undefined
    const brokers: Broker[] = []

    kit.afterEach(async () => {
      for (const broker of brokers.splice(0)) await broker.close()
      await setup?.dispose()
      setup = undefined
    })

    async function prepare(): Promise<BrokerSetup> {
      setup = await setUp()
      return setup
    }

    async function open(): Promise<Broker> {
      const broker = await (setup as BrokerSetup).open()
      brokers.push(broker)
      return broker
    }

    it('delivers the messages of each key once and in the order of publishing', async () => {
      await prepare()
      const broker = await open()
      const topic = randomTopic()
      const reader = await readAll(broker, topic, 'g')
      const batch = messages(topic, 300, 10)
      await publishAll(broker, batch.slice(0, 200))
      await publishAll(broker, batch.slice(200))
      await reader.until(300)
      equal(byKey(reader.messages), byKey(batch))
      equal(reader.messages.length, 300)
    })

    it('delivers every field as it was published', async () => {
      await prepare()
      const broker = await open()
      const topic = `order "placed" 😀 it's.a/topic > * ${randomUUID()}`
      const reader = await readAll(broker, topic, `gruppe "ü" 🐘 .*>`)
      const sent: Message[] = [
        {
          id: randomUUID(),
          topic,
          key: 'kéy "1" \n😀',
          payload: '{"n": 9007199254740993, "text":"a\\u0000b\\nc", "😀":[1.50]}',
          headers: { traceparent: '00-ab-cd-01', 'x-Ünï': 'välue\n2', __proto__x: '' },
          publishedAtMs: 1_700_000_000_123,
        },
        { ...message(topic, null), payload: 'null' },
        { ...message(topic, ''), payload: '"empty key"' },
        { ...message(topic, 'k'), id: `id with "quotes" 😀 ${'x'.repeat(400)}` },
      ]
      await publishAll(broker, sent)
      await reader.until(sent.length)
      const byId = (list: readonly Message[]) => [...list].sort((a, b) => (a.id < b.id ? -1 : 1))
      equal(byId(reader.messages), byId(sent))
    })

    it('keeps topics and groups apart whose names differ in one odd character', async () => {
      await prepare()
      const broker = await open()
      const base = randomTopic()
      const topics = [`${base}.a`, `${base}_a`, `${base} a`, `${base}=2Ea`, `${base}:a`, `${base}/a`]
      const readers = await Promise.all(topics.map((topic) => readAll(broker, topic, 'g')))
      await publishAll(
        broker,
        topics.map((topic) => ({ ...message(topic, 'k'), payload: JSON.stringify(topic) })),
      )
      for (const [i, reader] of readers.entries()) {
        await reader.until(1)
        equal(
          reader.messages.map((m) => m.payload),
          [JSON.stringify(topics[i])],
        )
      }
    })

    it('gives every group all messages', async () => {
      await prepare()
      const broker = await open()
      const topic = randomTopic()
      const readers = [await readAll(broker, topic, 'one'), await readAll(await open(), topic, 'two')]
      const batch = messages(topic, 60, 5)
      await publishAll(broker, batch)
      for (const reader of readers) {
        await reader.until(60)
        equal(byKey(reader.messages), byKey(batch))
      }
    })

    it('delivers what was published while nobody was subscribed', async () => {
      await prepare()
      const broker = await open()
      const topic = randomTopic()
      await (await readAll(broker, topic, 'g')).close()
      const batch = messages(topic, 20, 3)
      await publishAll(broker, batch)
      const reader = await readAll(await open(), topic, 'g')
      await reader.until(20)
      equal(byKey(reader.messages), byKey(batch))
    })

    it('does not deliver again what was acknowledged before close', async () => {
      await prepare()
      const broker = await open()
      const topic = randomTopic()
      const first = await readAll(broker, topic, 'g')
      await publishAll(broker, messages(topic, 20, 3))
      await first.until(20)
      await first.close()
      const second = await readAll(await open(), topic, 'g')
      const marker = messages(topic, 3, 3)
      await publishAll(broker, marker)
      await second.until(3)
      equal(byKey(second.messages), byKey(marker))
    })

    it('delivers what was released, and what was not settled, to the next subscriber, in order', async () => {
      await prepare()
      const broker = await open()
      const topic = randomTopic()
      const batch = messages(topic, 10, 1)
      const partition = partitionOfMessage(batch[0] as Message, broker.partitions)
      const first = await readPartition(broker, topic, 'g', partition, { settle: false })
      await publishAll(broker, batch)
      await first.until(10)
      first.deliveries.slice(0, 3).forEach((d) => {
        d.ack()
      })
      first.deliveries.slice(3, 6).forEach((d) => {
        d.release()
      })
      await first.close()
      for (const late of first.deliveries) late.ack() // after close: no effect, no error
      const second = await readPartition(await open(), topic, 'g', partition)
      await second.until(7)
      equal(
        second.messages.map((m) => m.id),
        batch.slice(3).map((m) => m.id),
      )
      equal(
        second.deliveries.map((d) => d.redelivered),
        Array(7).fill(true),
      )
    })

    it('hands out at most `prefetch` unsettled messages', async () => {
      await prepare()
      const broker = await open()
      const topic = randomTopic()
      const batch = messages(topic, 25, 1)
      const partition = partitionOfMessage(batch[0] as Message, broker.partitions)
      const reader = await readPartition(broker, topic, 'g', partition, { settle: false, prefetch: 4 })
      await publishAll(broker, batch)
      let open_ = 0
      for (let settled = 0; settled < 25; settled++) {
        await reader.until(Math.min(25, settled + 4))
        // Room for something to go wrong: the broker gets time to hand out a fifth.
        await turns(20)
        open_ = Math.max(open_, reader.deliveries.length - settled)
        reader.deliveries[settled]?.ack()
      }
      equal(open_, 4)
    })

    it('carries a payload of 500 KB', async () => {
      await prepare()
      const broker = await open()
      const topic = randomTopic()
      const reader = await readAll(broker, topic, 'g')
      const large = { ...message(topic, 'k'), payload: JSON.stringify('ü'.repeat(250_000)) }
      const small = message(topic, 'k')
      await publishAll(broker, [large, small])
      await reader.until(2)
      equal(
        reader.messages.map((m) => m.id),
        [large.id, small.id],
      )
      equal(reader.messages[0]?.payload === large.payload, true)
    })

    it('takes concurrent publishers of the same keys', async () => {
      await prepare()
      const publishers = [await open(), await open(), await open()]
      const topic = randomTopic()
      const reader = await readAll(publishers[0] as Broker, topic, 'g')
      const batches = publishers.map(() => messages(topic, 100, 5))
      await Promise.all(
        publishers.map(async (publisher, i) => {
          const batch = batches[i] as Message[]
          for (let at = 0; at < 100; at += 10) await publishAll(publisher, batch.slice(at, at + 10))
        }),
      )
      await reader.until(300)
      for (const batch of batches) {
        const ids = new Set(batch.map((m) => m.id))
        equal(byKey(reader.messages.filter((m) => ids.has(m.id))), byKey(batch))
      }
    })

    it('rejects with the reason, storing nothing, when the signal has fired', async () => {
      await prepare()
      const broker = await open()
      const topic = randomTopic()
      const reader = await readAll(broker, topic, 'g')
      const reason = new Error('stop')
      const error = await broker
        .publish(messages(topic, 3, 1), { signal: AbortSignal.abort(reason) })
        .catch((e: unknown) => e)
      equal(error === reason, true)
      const marker = messages(topic, 1, 1)
      await publishAll(broker, marker)
      await reader.until(1)
      equal(
        reader.messages.map((m) => m.id),
        marker.map((m) => m.id),
      )
    })

    it('refuses one bad message without the others, and nothing after it of its key', async () => {
      await prepare()
      const broker = await open()
      const topic = randomTopic()
      const reader = await readAll(broker, topic, 'g')
      const batch = [
        message(topic, 'a'),
        message(topic, 'b'),
        { ...message(topic, 'a'), payload: '"a\0b"' },
        message(topic, 'a'),
        message(topic, 'b'),
      ]
      const results = await broker.publish(batch, { signal: new AbortController().signal })
      equal(
        results.map((r) => r.kind),
        ['stored', 'stored', 'refused', 'unknown', 'stored'],
      )
      await reader.until(3)
      equal(byKey(reader.messages), byKey([batch[0], batch[1], batch[4]] as Message[]))
    })

    it('ends a subscription by closing the broker, and closing twice is fine', async () => {
      await prepare()
      const broker = await open()
      const reader = await readAll(broker, randomTopic(), 'g')
      await broker.close()
      await broker.close()
      for (const subscription of reader.subscriptions) await subscription.done
      const error = await broker
        .publish(messages('t', 1, 1), { signal: new AbortController().signal })
        .catch((e: unknown) => e)
      equal((error as { code?: string }).code, 'BROKER_UNAVAILABLE')
    })

    it('redelivers what a killed process held, within seconds and in order', async () => {
      const { hoard } = await prepare()
      const broker = await open()
      const topic = randomTopic()
      const batch = messages(topic, 30, 1)
      const partition = partitionOfMessage(batch[0] as Message, broker.partitions)
      await (await readPartition(broker, topic, 'g', partition)).close()
      await publishAll(broker, batch)
      const { held } = await hoard({ topic, group: 'g', partition, count: 10 })
      equal(
        held.slice(0, 10),
        batch.slice(0, 10).map((m) => m.id),
      )
      const startMs = performance.now()
      const reader = await readPartition(broker, topic, 'g', partition)
      await reader.until(30)
      equal(performance.now() - startMs < 8_000, true)
      equal(
        reader.messages.map((m) => m.id),
        batch.map((m) => m.id),
      )
    })

    if (restarts === 0) return

    it('answers a publish within its bound while the server is gone, and goes on when it is back', async () => {
      const server = (await prepare()).server as BrokerServer
      const broker = await open()
      const topic = randomTopic()
      const reader = await readAll(broker, topic, 'g')
      const batch = messages(topic, 20, 4)
      await publishAll(broker, batch.slice(0, 8))
      await reader.until(8)
      await server.kill()
      const startMs = performance.now()
      const results = await broker
        .publish(batch.slice(8), { signal: new AbortController().signal })
        .catch((e: unknown) => e)
      equal(performance.now() - startMs < 12_000, true)
      if (Array.isArray(results)) {
        equal(
          (results as PublishResult[]).some((r) => r.kind === 'stored'),
          false,
        )
      } else {
        equal((results as { code?: string }).code, 'BROKER_UNAVAILABLE')
      }
      await server.start()
      await publishUntilStored(broker, batch.slice(8))
      await reader.untilAll(batch)
      equal(firstsByKey(reader.messages), byKey(batch))
    })

    it('loses nothing and keeps first deliveries in order when the server is killed again and again', async () => {
      const server = (await prepare()).server as BrokerServer
      const broker = await open()
      const topic = randomTopic()
      const reader = await readAll(broker, topic, 'g')
      const batch = messages(topic, 400, 8)
      const publishing = (async () => {
        for (let at = 0; at < batch.length; at += 20)
          await publishUntilStored(broker, batch.slice(at, at + 20))
      })()
      for (let round = 0; round < restarts; round++) {
        await reader.until(60 + round * 150)
        await server.kill()
        await server.start()
      }
      await publishing
      await reader.untilAll(batch)
      equal(firstsByKey(reader.messages), byKey(batch))
    })
  })
}

interface Reader {
  readonly subscriptions: readonly Subscription[]
  readonly deliveries: readonly Delivery[]
  readonly messages: readonly Message[]
  /** Waits for this many deliveries, duplicates included. */
  until(count: number): Promise<void>
  /** Waits until each of these was delivered. */
  untilAll(messages: readonly Message[]): Promise<void>
  close(): Promise<void>
}

async function readAll(broker: Broker, topic: string, group: string): Promise<Reader> {
  return read(broker, topic, group, range(broker.partitions), {})
}

async function readPartition(
  broker: Broker,
  topic: string,
  group: string,
  partition: number,
  options: { settle?: boolean; prefetch?: number } = {},
): Promise<Reader> {
  return read(broker, topic, group, [partition], options)
}

async function read(
  broker: Broker,
  topic: string,
  group: string,
  partitions: readonly number[],
  { settle = true, prefetch = 50 }: { settle?: boolean; prefetch?: number },
): Promise<Reader> {
  const deliveries: Delivery[] = []
  const subscriptions = await Promise.all(
    partitions.map((partition) =>
      broker.subscribe({ topic, group, partition, prefetch }, (delivery) => {
        deliveries.push(delivery)
        if (settle) delivery.ack()
      }),
    ),
  )
  const until = (ready: () => boolean, what: () => string) => waitUntil(ready, what)
  return {
    subscriptions,
    deliveries,
    get messages() {
      return deliveries.map((d) => d.message)
    },
    until: (count) =>
      until(
        () => deliveries.length >= count,
        () => `${count} deliveries, got ${deliveries.length}`,
      ),
    untilAll: (wanted) => {
      const missing = () => {
        const ids = new Set(deliveries.map((d) => d.message.id))
        return wanted.filter((m) => !ids.has(m.id))
      }
      return until(
        () => missing().length === 0,
        () => `every message, ${missing().length} are missing`,
      )
    },
    close: async () => {
      await Promise.all(subscriptions.map((s) => s.close()))
    },
  }
}

/** Publishes as a relay does: what is not stored is sent again, later messages of the key after it. */
async function publishUntilStored(broker: Broker, batch: readonly Message[]): Promise<void> {
  const endMs = performance.now() + WAIT_MS
  let rest = batch
  while (rest.length > 0) {
    if (performance.now() > endMs) throw new Error(`gave up publishing: ${rest.length} are not stored`)
    const results = await broker
      .publish(rest, { signal: new AbortController().signal })
      .catch((error: unknown) => {
        if ((error as { outcome?: string }).outcome !== 'not-applied') throw error
        return undefined
      })
    if (results === undefined) await sleep(20)
    else rest = rest.filter((_, i) => results[i]?.kind !== 'stored')
  }
}

async function publishAll(broker: Broker, batch: readonly Message[]): Promise<void> {
  const results = await broker.publish(batch, { signal: new AbortController().signal })
  const bad = results.find((r) => r.kind !== 'stored')
  if (results.length !== batch.length)
    throw new Error(`${results.length} results for ${batch.length} messages`)
  if (bad !== undefined) throw new Error(bad.kind, { cause: bad.error })
}

function messages(topic: string, count: number, keys: number): Message[] {
  return range(count).map((i) => ({ ...message(topic, `key-${i % keys}`), payload: JSON.stringify({ i }) }))
}

function message(topic: string, key: string | null): Message {
  return { id: randomUUID(), topic, key, payload: '{}', headers: {}, publishedAtMs: 1_700_000_000_000 }
}

/** Ids of each key, in order. */
function byKey(list: readonly Message[]): Record<string, string[]> {
  const keys: Record<string, string[]> = {}
  for (const { key, id } of list) {
    const ids = keys[`key ${key}`] ?? []
    keys[`key ${key}`] = ids
    ids.push(id)
  }
  return Object.fromEntries(Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The same, each id where it came first. */
function firstsByKey(list: readonly Message[]): Record<string, string[]> {
  const seen = new Set<string>()
  return byKey(list.filter(({ id }) => !seen.has(id) && seen.add(id)))
}

function randomTopic(): string {
  return `topic-${randomUUID()}`
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 1))
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function waitUntil(ready: () => boolean, what: () => string): Promise<void> {
  const endMs = performance.now() + WAIT_MS
  while (!ready()) {
    if (performance.now() > endMs) throw new Error(`gave up waiting for ${what()}`)
    await sleep(5)
  }
}
