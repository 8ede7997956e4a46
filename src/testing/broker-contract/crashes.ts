import { type Message, type PublishResult, partitionOfMessage } from '../../broker/index.ts'
import type { TestKit } from '../test-kit.ts'
import { byKey, firstsByKey, messages, randomTopic } from './messages.ts'
import { publishAll, publishUntilStored } from './publish.ts'
import { readAll, readPartition } from './read.ts'
import type { BrokerScene, BrokerServer } from './scene.ts'

/** What is left when a subscriber is killed, or the server. */
export function describeCrashes({ it, expect }: TestKit, scene: BrokerScene, restarts: number): void {
  const equal = (actual: unknown, expected: unknown): void => expect(actual).toEqual(expected)

  it('redelivers what a killed process held, within seconds and in order', async () => {
    const { hoard } = scene.setup
    const broker = await scene.open()
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
    const server = scene.setup.server as BrokerServer
    const broker = await scene.open()
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
    const server = scene.setup.server as BrokerServer
    const broker = await scene.open()
    const topic = randomTopic()
    const reader = await readAll(broker, topic, 'g')
    const batch = messages(topic, 400, 8)
    const publishing = (async () => {
      for (let at = 0; at < batch.length; at += 20) await publishUntilStored(broker, batch.slice(at, at + 20))
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
}
