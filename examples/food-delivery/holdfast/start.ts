import type { OwnTransaction, Transaction } from 'holdfast'
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
import { prepareTables } from '../shared/prepare.ts'
import { openStore } from '../shared/store.ts'
import type { Holdfast, HoldfastService } from './context.ts'
import { delivery } from './delivery.ts'
import { order } from './order.ts'
import { payment } from './payment.ts'
import { restaurant } from './restaurant.ts'
import { eachStatementAlone, type Mechanism } from './without.ts'

const SERVICES: Readonly<Record<ServiceName, HoldfastService>> = { order, payment, restaurant, delivery }

/**
 * Short, so that the messages of a killed process wait for about a second. On PostgreSQL a renewal is three round trips
 * beside everybody else's, and a lease that is lost to a busy machine throws away the work done under it.
 */
const LEASE_MS = { sqlite: 700, postgres: 1_500 } as const

export interface HoldfastOptions {
  readonly database: DatabaseAddress
  readonly broker: Broker
  readonly without: Mechanism | undefined
  /** Asked for each commit, with a share of the full chance: whether its answer is lost, and whether it happens.
   * Undefined where connections really break. */
  readonly losesCommit: ((share: number) => 'before' | 'after' | undefined) | undefined
}

/** Starts a service of the second version. */
export async function startHoldfast(
  name: ServiceName,
  { database, broker, without, losesCommit }: HoldfastOptions,
): Promise<{ routes: Routes; inHand(): Promise<number>; stop(): Promise<void> }> {
  const { store, close } = await openStore(database)
  await prepareTables(store, [
    storeTables,
    leaseTables,
    effectTables,
    outboxTables,
    deadLetterTables,
    inboxTables,
  ])
  const outbox = createOutbox(store)
  const inbox = createInbox(store)
  const relay = outbox.relay({
    broker,
    ttlMs: LEASE_MS[database.kind],
    pollMaxMs: 100,
    retry: { baseMs: 20, capMs: 500 },
  })
  const consumers: ReturnType<typeof inbox.consumer>[] = []

  const breaks = (): void => {
    if (losesCommit?.(1) !== undefined) throw new Error('connection lost')
  }
  const mayLose = losesCommit === undefined ? undefined : injectLostCommits(losesCommit)
  const scoped = async <T>(tx: OwnTransaction, work: (tx: OwnTransaction) => Promise<T>): Promise<T> => {
    const result = await work(without === 'transaction' ? eachStatementAlone(tx, breaks) : tx)
    mayLose?.(tx)
    return result
  }

  const context: Holdfast = {
    store,
    without,
    transaction: (work) => store.transaction((tx) => scoped(tx, work)),
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
          ttlMs: LEASE_MS[database.kind],
          retry: { baseMs: 20, capMs: 500 },
          handler: (tx, message) => scoped(tx, (scope) => handle(scope, message.payload as E)),
        }),
      )
    },
  }
  const service = SERVICES[name](context)

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

/**
 * Arms the library's own failpoints around COMMIT. Transactions of the business are marked at their end and meet the
 * full rate; the many small ones of relay, consumers and queue a fraction of it.
 *
 * Gives the function to call last in a transaction's work, so that the mark is set right before its COMMIT.
 */
function injectLostCommits(losesCommit: (share: number) => 'before' | 'after' | undefined) {
  let marked: 'before' | 'after' | undefined
  let lostAfter = 0
  failpoints.arm('store.commit.before', () => {
    const lost = marked ?? losesCommit(BACKGROUND_SHARE)
    marked = undefined
    if (lost === 'before') throw new Error('connection lost')
    if (lost === 'after') lostAfter += 1
  })
  failpoints.arm('store.commit.after', () => {
    if (lostAfter === 0) return
    lostAfter -= 1
    throw new Error('connection lost')
  })
  const mark = async (_: Transaction, drawn: readonly ('before' | 'after')[]): Promise<void> => {
    marked = drawn[0]
  }
  return (tx: OwnTransaction): void => {
    const lost = losesCommit(1)
    if (lost !== undefined) tx.beforeCommit(mark, lost)
  }
}

const BACKGROUND_SHARE = 0.02

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
