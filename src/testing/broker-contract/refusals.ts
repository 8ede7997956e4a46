import type { Message } from '../../broker/index.ts'
import type { TestKit } from '../test-kit.ts'
import { byKey, message, messages, randomTopic } from './messages.ts'
import { publishAll } from './publish.ts'
import { readAll } from './read.ts'
import type { BrokerScene } from './scene.ts'

/** Publishes of which nothing, or not everything, is stored. */
export function describeRefusals({ it, expect }: TestKit, scene: BrokerScene): void {
  const equal = (actual: unknown, expected: unknown): void => expect(actual).toEqual(expected)

  it('rejects with the reason, storing nothing, when the signal has fired', async () => {
    const broker = await scene.open()
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
    const broker = await scene.open()
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
}
