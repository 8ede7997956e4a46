import type { Broker, Delivery } from 'holdfast/broker'
import type { Event, ServiceName, Topic } from '../shared/domain.ts'
import type { Service } from '../shared/service.ts'
import type { Holdfast, HoldfastService } from './context.ts'
import { delivery } from './delivery.ts'
import { order } from './order.ts'
import { payment } from './payment.ts'
import { restaurant } from './restaurant.ts'
import { type RuntimeOptions, startRuntime } from './runtime.ts'
import { eachStatementAlone, type Mechanism } from './without.ts'

const SERVICES: Readonly<Record<ServiceName, HoldfastService>> = { order, payment, restaurant, delivery }

export interface HoldfastOptions extends Pick<RuntimeOptions, 'database' | 'broker' | 'losesCommit'> {
  readonly without: Mechanism | undefined
}

/** Starts a service of the second version. */
export async function startHoldfast(name: ServiceName, options: HoldfastOptions): Promise<Service> {
  const { without, ...given } = options
  const { broker, losesCommit } = given
  const breaks = (): void => {
    if (losesCommit?.(1) !== undefined) throw new Error('connection lost')
  }
  const runtime = await startRuntime({
    ...given,
    ...(without === 'transaction' ? { around: (tx) => eachStatementAlone(tx, breaks) } : {}),
  })
  const { store, outbox, transaction, read } = runtime
  const source = without === 'inbox' ? forgetful(broker) : broker
  const context: Holdfast = {
    store,
    without,
    transaction,
    read,
    publish:
      without === 'outbox'
        ? async (tx, topic, event) => tx.afterCommit(() => sendAtOnce(broker, topic, event))
        : (tx, topic, event) => outbox.publish(tx, { topic, key: event.orderId, payload: event }),
    on: (topic, group, handle) =>
      runtime.on<never>(topic, group, (tx, { payload }) => handle(tx, payload), source),
  }
  const service = SERVICES[name](context)
  return {
    routes: service.routes,
    inHand: async () => (await runtime.inHand()) + ((await service.inHand?.()) ?? 0),
    async stop() {
      await service.stop?.()
      await runtime.stop()
    },
  }
}

/** `--without outbox`: the event goes to the broker after the commit, if the process lives that long. */
async function sendAtOnce(broker: Broker, topic: Topic, event: Event): Promise<void> {
  const message = {
    id: crypto.randomUUID(),
    topic,
    key: event.orderId,
    payload: JSON.stringify(event),
    headers: {},
    publishedAtMs: Date.now(),
  }
  await broker.publish([message], { signal: AbortSignal.timeout(5_000) })
}

/** `--without inbox`: each delivery looks like a new message, so that none is recognized as seen before. */
function forgetful(broker: Broker): Broker {
  return {
    name: broker.name,
    partitions: broker.partitions,
    publish: (batch, options) => broker.publish(batch, options),
    subscribe: (subscription, deliver) =>
      broker.subscribe(subscription, (delivery: Delivery) =>
        deliver({
          redelivered: delivery.redelivered,
          ack: () => delivery.ack(),
          release: () => delivery.release(),
          message: { ...delivery.message, id: crypto.randomUUID() },
        }),
      ),
    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }
}
