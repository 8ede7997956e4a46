import type { RabbitNames } from './names.ts'
import type { RabbitChannelLike } from './rabbitmq-client.ts'

/**
 * The settings of every queue. RabbitMQ refuses to declare a queue again with other settings, so they never change.
 *
 * Quorum: replicated and on disk. One active consumer: a successor waits until the channel of the one before is gone,
 * so that a stopped process cannot share a partition. The delivery limit is out of reach, because RabbitMQ 4 would
 * otherwise throw a message away after 20 deliveries; when to give a message up is decided by the consumer.
 */
const ARGUMENTS = {
  'x-queue-type': 'quorum',
  'x-single-active-consumer': true,
  'x-delivery-limit': 1_000_000_000,
} as const

/** Makes the exchange of a topic and the queues of a group, all partitions. Repeating it changes nothing. */
export async function declareGroup(
  channel: RabbitChannelLike,
  names: RabbitNames,
  { topic, group, partitions }: { topic: string; group: string; partitions: number },
): Promise<void> {
  const exchange = names.exchange(topic)
  await channel.exchangeDeclare({ exchange, type: 'direct', durable: true })
  for (let partition = 0; partition < partitions; partition++) {
    const queue = names.queue(topic, group, partition)
    await channel.queueDeclare({ queue, durable: true, arguments: ARGUMENTS })
    await channel.queueBind({ queue, exchange, routingKey: String(partition) })
  }
}
