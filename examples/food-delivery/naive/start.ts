import { randomUUID } from 'node:crypto'
import type { Broker } from 'holdfast/broker'
import type { Event, ServiceName, Topic } from '../shared/domain.ts'
import type { Routes } from '../shared/http.ts'
import type { Naive, NaiveService } from './context.ts'
import { delivery } from './delivery.ts'
import { order } from './order.ts'
import { payment } from './payment.ts'
import { restaurant } from './restaurant.ts'

const SERVICES: Readonly<Record<ServiceName, NaiveService>> = { order, payment, restaurant, delivery }

export interface NaiveOptions {
  readonly query: Naive['query']
  readonly broker: Broker
  /** Counts handlers under way, so that the run knows when everything has come to rest. */
  readonly busy: (change: 1 | -1) => void
}

/**
 * Starts a service of the first version: it publishes right after its statements, and its message client
 * acknowledges on receipt, as most do unless told otherwise.
 */
export function startNaive(name: ServiceName, { query, broker, busy }: NaiveOptions): Promise<Routes> {
  const { signal } = new AbortController()

  async function publish(topic: Topic, event: Event): Promise<void> {
    const message = {
      id: randomUUID(),
      topic,
      key: event.orderId,
      payload: JSON.stringify(event),
      headers: {},
      publishedAtMs: Date.now(),
    }
    await broker.publish([message], { signal })
  }

  async function on<E extends Event>(topic: Topic, group: string, handle: (event: E) => Promise<void>) {
    for (let partition = 0; partition < broker.partitions; partition++) {
      await broker.subscribe({ topic, group, partition, prefetch: 32 }, (delivery) => {
        delivery.ack()
        busy(1)
        handle(JSON.parse(delivery.message.payload) as E)
          .catch(() => {}) // a real one logs the error, and somebody reads it later
          .finally(() => busy(-1))
      })
    }
  }

  return SERVICES[name]({ query, publish, on })
}
