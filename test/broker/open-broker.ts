/** Opens the broker named by a URL, for the tests and for the processes that they start. */
import type { Broker } from '../../src/broker/index.ts'
import { storeQueue } from '../../src/broker/store-queue/index.ts'
import { openStore } from './store-queue-stores.ts'

export interface OpenBroker {
  readonly broker: Broker
  /** Ends what the broker leaves open: the store, the connection. */
  close(): Promise<void>
}

export async function openBroker(url: string): Promise<OpenBroker> {
  if (url.startsWith('amqp:')) {
    const [{ Connection }, { rabbitmq }] = await Promise.all([
      import('rabbitmq-client'),
      import('../../src/broker/rabbitmq/index.ts'),
    ])
    const connection = new Connection({ url, retryLow: 50, retryHigh: 500, heartbeat: 10 })
    const broker = rabbitmq(connection, { publishTimeoutMs: 3_000 })
    return { broker, close: () => connection.close() }
  }
  if (url.startsWith('nats:')) {
    const [{ connect, headers }, { jetstream }, { nats }] = await Promise.all([
      import('@nats-io/transport-node'),
      import('@nats-io/jetstream'),
      import('../../src/broker/nats/index.ts'),
    ])
    const connection = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
    const broker = nats({ jetstream: jetstream(connection), headers }, { publishTimeoutMs: 3_000 })
    return { broker, close: () => connection.close() }
  }
  const { store, close } = openStore(url)
  return { broker: storeQueue(store, { publishTimeoutMs: 3_000 }), close }
}
