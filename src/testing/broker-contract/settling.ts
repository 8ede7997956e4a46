import { type Message, partitionOfMessage } from '../../broker/index.ts'
import type { TestKit } from '../test-kit.ts'
import { byKey, messages, randomTopic } from './messages.ts'
import { publishAll } from './publish.ts'
import { readAll, readPartition } from './read.ts'
import type { BrokerScene } from './scene.ts'

/** What a subscriber has done with its deliveries when it closes, and what the next one then gets. */
export function describeSettling({ it, expect }: TestKit, scene: BrokerScene): void {
  const equal = (actual: unknown, expected: unknown): void => expect(actual).toEqual(expected)

  it('does not deliver again what was acknowledged before close', async () => {
    const broker = await scene.open()
    const topic = randomTopic()
    const first = await readAll(broker, topic, 'g')
    await publishAll(broker, messages(topic, 20, 3))
    await first.until(20)
    await first.close()
    const second = await readAll(await scene.open(), topic, 'g')
    const marker = messages(topic, 3, 3)
    await publishAll(broker, marker)
    await second.until(3)
    equal(byKey(second.messages), byKey(marker))
  })

  it('delivers what was released, and what was not settled, to the next subscriber, in order', async () => {
    const broker = await scene.open()
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
    const second = await readPartition(await scene.open(), topic, 'g', partition)
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
    const broker = await scene.open()
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

  it('ends a subscription by closing the broker, and closing twice is fine', async () => {
    const broker = await scene.open()
    const reader = await readAll(broker, randomTopic(), 'g')
    await broker.close()
    await broker.close()
    for (const subscription of reader.subscriptions) await subscription.done
    const error = await broker
      .publish(messages('t', 1, 1), { signal: new AbortController().signal })
      .catch((e: unknown) => e)
    equal((error as { code?: string }).code, 'BROKER_UNAVAILABLE')
  })
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setTimeout(resolve, 1))
}
