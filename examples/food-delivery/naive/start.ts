import { randomUUID } from 'node:crypto'
import type { Broker } from 'holdfast/broker'
import type { Event, ServiceName, Topic } from '../shared/domain.ts'
import type { Service } from '../shared/service.ts'
import type { Naive, NaiveService } from './context.ts'
import { delivery } from './delivery.ts'
import { order } from './order.ts'
import { payment } from './payment.ts'
import { restaurant } from './restaurant.ts'

const SERVICES: Readonly<Record<ServiceName, NaiveService>> = { order, payment, restaurant, delivery }

export interface NaiveOptions {
  readonly query: Naive['query']
  readonly broker: Broker
}

/**
 * Starts a service of the first version: it publishes right after its statements, and its message client
 * acknowledges on receipt, as most do unless told otherwise.
 */
export async function startNaive(name: ServiceName, { query, broker }: NaiveOptions): Promise<Service> {
  const { signal } = new AbortController()
  /** Counted so that the run knows when everything has come to rest. */
  let underWay = 0

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
        underWay += 1
        handle(JSON.parse(delivery.message.payload) as E)
          .catch(() => {}) // a real one logs the error, and somebody reads it later
          .finally(() => {
            underWay -= 1
          })
      })
    }
  }

  const routes = await SERVICES[name]({ query, publish, on })
  return { routes, inHand: async () => underWay, stop: async () => {} }
}
