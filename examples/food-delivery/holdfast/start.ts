import { migrate, type OwnTransaction } from 'holdfast'
import type { Broker, Delivery } from 'holdfast/broker'
import { effectTables } from 'holdfast/effects'
import { createInbox, inboxTables } from 'holdfast/inbox'
import { leaseTables } from 'holdfast/lease'
import { createOutbox, deadLetterTables, outboxTables } from 'holdfast/outbox'
import { storeTables } from 'holdfast/store'
import { failpoints } from 'holdfast/testing'
import type { DatabaseAddress } from '../shared/database.ts'
import type { Event, ServiceName, Topic } from '../shared/domain.ts'
import type { Routes } from '../shared/http.ts'
import { openStore } from '../shared/store.ts'
import type { Holdfast, HoldfastService } from './context.ts'
import { delivery } from './delivery.ts'
import { order } from './order.ts'
import { payment } from './payment.ts'
import { restaurant } from './restaurant.ts'
import { eachStatementAlone, type Mechanism } from './without.ts'

const SERVICES: Readonly<Record<ServiceName, HoldfastService>> = { order, payment, restaurant, delivery }

/** Short, so that the messages of a killed process wait for less than a second. */
const LEASE_MS = 700

export interface HoldfastOptions {
  readonly database: DatabaseAddress
  readonly broker: Broker
  readonly without: Mechanism | undefined
  /** Asked at each commit: whether its answer is lost, and whether the commit happens. */
  readonly losesCommit: () => 'before' | 'after' | undefined
}

/** Starts a service of the second version. */
export async function startHoldfast(
  name: ServiceName,
  { database, broker, without, losesCommit }: HoldfastOptions,
): Promise<{ routes: Routes; inHand(): Promise<number>; stop(): Promise<void> }> {
  const { store, close } = await openStore(database)
  await migrate(store, [storeTables, leaseTables, effectTables, outboxTables, deadLetterTables, inboxTables])
  const outbox = createOutbox(store)
  const inbox = createInbox(store)
  const relay = outbox.relay({ broker, ttlMs: LEASE_MS, pollMaxMs: 100, retry: { baseMs: 20, capMs: 500 } })
  const consumers: ReturnType<typeof inbox.consumer>[] = []

  const breaks = (): void => {
    if (losesCommit() !== undefined) throw new Error('connection lost')
  }
  const scoped = (tx: OwnTransaction): OwnTransaction =>
    without === 'transaction' ? eachStatementAlone(tx, breaks) : tx

  const context: Holdfast = {
    store,
    without,
    transaction: (work) => store.transaction((tx) => work(scoped(tx))),
    read: (statement) => store.transaction((tx) => tx.query(statement), { readOnly: true }),
    publish:
      without === 'outbox'
        ? async (tx, topic, event) => tx.afterCommit(() => sendAtOnce(broker, topic, event))
        : (tx, topic, event) => outbox.publish(tx, { topic, key: event.orderId, payload: event }),
    on<E extends Event>(
      topic: Topic,
      group: string,
      handle: (tx: OwnTransaction, event: E) => Promise<void>,
    ): void {
      consumers.push(
        inbox.consumer({
          broker: without === 'inbox' ? forgetful(broker) : broker,
          topic,
          group,
          ttlMs: LEASE_MS,
          retry: { baseMs: 20, capMs: 500 },
          handler: (tx, message) => handle(scoped(tx), message.payload as E),
        }),
      )
    },
  }
  const service = SERVICES[name](context)
  injectLostCommits(losesCommit)

  return {
    routes: service.routes,
    async inHand() {
      const { backlog, later } = await outbox.figures()
      return backlog + later + ((await service.inHand?.()) ?? 0)
    },
    async stop() {
      failpoints.reset()
      await service.stop?.()
      await Promise.all([...consumers, relay].map((part) => part.stop({ drainMs: 500 })))
      await close()
    },
  }
}

/** Every commit of this process may lose its answer, those of the relay, the consumers and the queue too. */
function injectLostCommits(losesCommit: () => 'before' | 'after' | undefined): void {
  let lost: 'before' | 'after' | undefined
  failpoints.arm('store.commit.before', () => {
    lost = losesCommit()
    if (lost === 'before') throw new Error('connection lost')
  })
  failpoints.arm('store.commit.after', () => {
    if (lost === 'after') {
      lost = undefined
      throw new Error('connection lost')
    }
  })
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
