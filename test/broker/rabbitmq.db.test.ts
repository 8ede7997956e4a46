/** What is peculiar to RabbitMQ. */
import { randomUUID } from 'node:crypto'
import { afterEach, expect, it } from 'vitest'
import type { Message } from '../../src/broker/index.ts'
import type { RabbitMqBroker } from '../../src/broker/rabbitmq/index.ts'
import { describeWith, rabbitmqServer } from '../support/servers.ts'
import { until } from '../support/wait.ts'
import { openBroker } from './open-broker.ts'

describeWith(await rabbitmqServer(), 'RabbitMQ', (url) => {
  const ends: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0)) await end()
  })
  async function open(): Promise<RabbitMqBroker> {
    const { broker, close } = await openBroker(url)
    ends.push(() => broker.close(), close)
    return broker as RabbitMqBroker
  }
  const publish = (broker: RabbitMqBroker, batch: Message[]) =>
    broker.publish(batch, { signal: new AbortController().signal })

  it('refuses a message that no queue would receive, until a group is declared', async () => {
    const broker = await open()
    const topic = randomUUID()
    expect(await publish(broker, [message(topic), message(topic)])).toMatchObject([
      { kind: 'refused', error: { code: 'MESSAGE_REFUSED' } },
      { kind: 'unknown', error: { code: 'MESSAGE_NOT_SENT' } },
    ])
    await broker.declare({ topic, group: 'g' })
    expect(await publish(broker, [message(topic)])).toEqual([{ kind: 'stored' }])
    await broker.removeGroup({ topic, group: 'g' })
    expect(await publish(broker, [message(topic)])).toMatchObject([{ kind: 'refused' }])
  })

  it('refuses a payload above payloadBytesMax and goes on with the others', async () => {
    const broker = await open()
    const topic = randomUUID()
    await broker.declare({ topic, group: 'g' })
    const large = { ...message(topic, 'a'), payload: JSON.stringify('x'.repeat(17 * 1024 * 1024)) }
    expect(await publish(broker, [large, message(topic, 'b')])).toMatchObject([
      { kind: 'refused' },
      { kind: 'stored' },
    ])
  })

  it('serves the first of two subscribers of a partition, and the second when the first is gone', async () => {
    const [one, two] = [await open(), await open()]
    const topic = randomUUID()
    const got: string[] = []
    const at = { topic, group: 'g', prefetch: 10 }
    const partition = 0
    const first = await one.subscribe({ ...at, partition }, (d) => {
      got.push(`first ${d.message.payload}`)
      if (d.message.payload === '1') d.ack()
    })
    await two.subscribe({ ...at, partition }, (d) => {
      got.push(`second ${d.message.payload}`)
      d.ack()
    })
    const key = keyOfPartition0
    await publish(
      one,
      ['1', '2', '3'].map((payload) => ({ ...message(topic, key), payload })),
    )
    await until(() => got.length === 3)
    await first.close()
    await until(() => got.length === 5)
    expect(got).toEqual(['first 1', 'first 2', 'first 3', 'second 2', 'second 3'])
  })
})

/** FNV sends it to partition 0 of 8. */
const keyOfPartition0 = 'k18'

function message(topic: string, key = 'k'): Message {
  return { id: randomUUID(), topic, key, payload: '{}', headers: {}, publishedAtMs: 1 }
}
