import type { Broker, Delivery, Message, Subscription } from '../../broker/index.ts'
import { range } from './messages.ts'
import { waitUntil } from './wait.ts'

export interface Reader {
  readonly subscriptions: readonly Subscription[]
  readonly deliveries: readonly Delivery[]
  readonly messages: readonly Message[]
  /** Waits for this many deliveries, duplicates included. */
  until(count: number): Promise<void>
  /** Waits until each of these was delivered. */
  untilAll(messages: readonly Message[]): Promise<void>
  close(): Promise<void>
}

export async function readAll(broker: Broker, topic: string, group: string): Promise<Reader> {
  return read(broker, topic, group, range(broker.partitions), {})
}

export async function readPartition(
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
  return {
    subscriptions,
    deliveries,
    get messages() {
      return deliveries.map((d) => d.message)
    },
    until: (count) =>
      waitUntil(
        () => deliveries.length >= count,
        () => `${count} deliveries, got ${deliveries.length}`,
      ),
    untilAll: (wanted) => {
      const missing = () => {
        const ids = new Set(deliveries.map((d) => d.message.id))
        return wanted.filter((m) => !ids.has(m.id))
      }
      return waitUntil(
        () => missing().length === 0,
        () => `every message, ${missing().length} are missing`,
      )
    },
    close: async () => {
      await Promise.all(subscriptions.map((s) => s.close()))
    },
  }
}
