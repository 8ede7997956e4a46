import { randomUUID } from 'node:crypto'
import type { Broker, Message } from '../../broker/index.ts'
import type { TestKit } from '../test-kit.ts'
import { byKey, message, messages, randomTopic } from './messages.ts'
import { publishAll } from './publish.ts'
import { readAll } from './read.ts'
import type { BrokerScene } from './scene.ts'

/** What was published comes to every group, once and in the order of each key. */
export function describeDelivery({ it, expect }: TestKit, scene: BrokerScene): void {
  const equal = (actual: unknown, expected: unknown): void => expect(actual).toEqual(expected)

  it('delivers the messages of each key once and in the order of publishing', async () => {
    const broker = await scene.open()
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
    const broker = await scene.open()
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
    const broker = await scene.open()
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
    const broker = await scene.open()
    const topic = randomTopic()
    const readers = [await readAll(broker, topic, 'one'), await readAll(await scene.open(), topic, 'two')]
    const batch = messages(topic, 60, 5)
    await publishAll(broker, batch)
    for (const reader of readers) {
      await reader.until(60)
      equal(byKey(reader.messages), byKey(batch))
    }
  })

  it('delivers what was published while nobody was subscribed', async () => {
    const broker = await scene.open()
    const topic = randomTopic()
    await (await readAll(broker, topic, 'g')).close()
    const batch = messages(topic, 20, 3)
    await publishAll(broker, batch)
    const reader = await readAll(await scene.open(), topic, 'g')
    await reader.until(20)
    equal(byKey(reader.messages), byKey(batch))
  })

  it('carries a payload of 500 KB', async () => {
    const broker = await scene.open()
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
    const publishers = [await scene.open(), await scene.open(), await scene.open()]
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
}
