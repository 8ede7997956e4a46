/**
 * The process under test: orders are placed, paid for and settled, each step in a store of its own, by messages over a
 * store as the queue. It works until everything is settled, prints which failpoints it reached, and ends.
 */
import { migrate, type OwnTransaction, type Store, sql } from 'holdfast'
import type { Broker, Delivery, Message } from 'holdfast/broker'
import { createInbox } from 'holdfast/inbox'
import { createOutbox, deadLetters } from 'holdfast/outbox'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { storeQueue } from 'holdfast/store-queue'
import { allTables } from 'holdfast/tables'
import { armFailpointsFromEnv, failpoint, failpoints } from 'holdfast/testing'
import pg from 'pg'
import { openSqlite } from '../support/sqlite.ts'
import { until } from '../support/wait.ts'
import { ORDERS_PER_RUN, type PipelineArguments, type PipelineReport } from './pipeline-arguments.ts'

const {
  kind,
  at,
  run,
  without,
  deadlineMs = 20_000,
} = JSON.parse(process.argv[2] as string) as PipelineArguments
/** Long, so that a busy machine does not end it; the suite ends the leases of a process that it killed. */
const LEASE_MS = 5_000
const retry = { baseMs: 2, capMs: 20, attemptsMax: 4 }

failpoints.record()
armFailpointsFromEnv(process.env.HOLDFAST_FAILPOINTS)

const pool = kind === 'postgres' ? new pg.Pool({ connectionString: at, max: 12 }) : undefined
const shop = open('shop')
const pay = open('pay')
const queueStore = open('queue')
for (const store of [shop, pay, queueStore]) await migrate(store, allTables)

// Small figures, so that a short run reaches every place: removing old messages, and storing acknowledgements.
const queue = storeQueue(queueStore, { partitions: 2, retentionMs: 0, ackEveryMs: 2, pollMaxMs: 10 })
await queue.declare({ topic: 'order.placed', group: 'payments' })
await queue.declare({ topic: 'payment.done', group: 'shop' })
const broker = refusingOnce(queue)

const shopOutbox = createOutbox(shop, { partitions: 2 })
const payOutbox = createOutbox(pay, { partitions: 2 })
const relayOptions = { broker, ttlMs: LEASE_MS, pollMaxMs: 20, retry: { ...retry, attemptsMax: 20 } }
const parts = [
  shopOutbox.relay(relayOptions),
  payOutbox.relay(relayOptions),
  createInbox(pay).consumer({
    broker:
      without === 'effect row' ? forgetful(queue) : without === 'ack after commit' ? hasty(queue) : queue,
    topic: 'order.placed',
    group: 'payments',
    ttlMs: LEASE_MS,
    retry,
    deadLetterPollMs: 10,
    handler: (tx, { payload }, { attempt }) => payFor(tx, (payload as { order: string }).order, attempt),
  }),
  createInbox(shop).consumer({
    broker: queue,
    topic: 'payment.done',
    group: 'shop',
    ttlMs: LEASE_MS,
    retry,
    deadLetterPollMs: 10,
    handler: (tx, { payload }) =>
      tx.execute(sql`insert into settled (order_id) values (${(payload as { order: string }).order})`),
  }),
]

for (let n = 0; n < ORDERS_PER_RUN; n++) await placeOrder(`${run}-${n}`, n)
let settledEverything = true
await until(
  async () => {
    await repair()
    return isDone()
  },
  { deadlineMs, what: 'every order to be settled' },
).catch(async () => {
  settledEverything = false
  process.stderr.write(
    `${JSON.stringify([...parts.map((part) => part.figures()), (await queue.figures()).groups], null, 1)}\n`,
  )
})
await queue.sweep()
await Promise.all(parts.map((part) => part.stop()))
await queue.close()
for (const store of [shop, pay, queueStore]) await store.close()
await pool?.end()
const report: PipelineReport = { settledEverything, hits: [...failpoints.hits()] }
process.stdout.write(`${JSON.stringify(report)}\n`)

function open(name: string): Store {
  if (pool !== undefined) return postgres(pool, { prefix: `${name}_` })
  const file = `${at}/${name}.db`
  return sqlite({
    open: () => openSqlite(file),
    prefix: `${name}_`,
    synchronous: 'normal',
  })
}

/** A step that a restart repeats: the order is placed unless it is there. */
async function placeOrder(order: string, n: number): Promise<void> {
  await shop.transaction(async (tx) => {
    const [found] = await tx.query(sql`select id from orders where id = ${order}`)
    if (found !== undefined) return
    await tx.execute(sql`insert into orders (id) values (${order})`)
    await shopOutbox.publish(tx, {
      topic: 'order.placed',
      key: `key-${n >> 1}`,
      payload: { order },
      ...(n === 4 && { deliverAfterMs: 20 }),
    })
  })
}

/** Order 2 of each run fails once, order 3 until somebody repairs it. */
async function payFor(tx: OwnTransaction, order: string, attempt: number): Promise<void> {
  if (order.endsWith('-2') && attempt === 1) throw new Error('fails once')
  if (order.endsWith('-3')) {
    const [repaired] = await tx.query(sql`select order_id from repaired where order_id = ${order}`)
    if (repaired === undefined) throw new Error('fails until it is repaired')
  }
  await tx.execute(sql`insert into payments (order_id) values (${order})`)
  const reply = { topic: 'payment.done', key: order, payload: { order } }
  if (without !== 'outbox') {
    await payOutbox.publish(tx, reply)
    return
  }
  tx.afterCommit(async () => {
    await failpoint('pipeline.paid')
    const message = { ...reply, id: crypto.randomUUID(), headers: {}, publishedAtMs: 0 }
    await queue.publish([{ ...message, payload: JSON.stringify(reply.payload) }], {
      signal: AbortSignal.timeout(5_000),
    })
  })
}

/** What an operator does about dead letters: mends the cause and asks for a retry. */
async function repair(): Promise<void> {
  for (const store of [shop, pay]) {
    for (const letter of await deadLetters(store).list()) {
      if (letter.retryRequested) continue
      const { order } = JSON.parse(letter.payload) as { order: string }
      await pay.transaction(async (tx) => {
        await tx.execute(sql`delete from repaired where order_id = ${order}`)
        await tx.execute(sql`insert into repaired (order_id) values (${order})`)
      })
      await deadLetters(store).retry({ ids: [letter.id] })
    }
  }
}

async function isDone(): Promise<boolean> {
  const [row] = await shop.query<{ open: unknown }>(
    'select count(*) as open from orders where id not in (select order_id from settled)',
  )
  if (Number(row?.open) > 0) return false
  for (const outbox of [shopOutbox, payOutbox]) {
    const { backlog, later } = await outbox.figures()
    if (backlog + later > 0) return false
  }
  for (const store of [shop, pay]) if ((await deadLetters(store).list()).length > 0) return false
  return (await queue.figures()).groups.every((group) => group.backlog === 0)
}

/** Refuses order 5 of each run at its first attempt in this process. */
function refusingOnce(broker: Broker): Broker {
  const refused = new Set<string>()
  const isRefused = ({ payload, id }: Message) =>
    payload.includes('-5"') && !refused.has(id) && refused.add(id)
  return {
    ...broker,
    async publish(batch, options) {
      if (!batch.some(isRefused)) return broker.publish(batch, options)
      return batch.map((message) =>
        refused.has(message.id)
          ? { kind: 'refused', error: new Error('not this time') }
          : { kind: 'unknown', error: new Error('not tried') },
      )
    },
  }
}

/** Every delivery looks like a new message. */
function forgetful(broker: Broker): Broker {
  return withDeliveries(broker, (delivery, deliver) =>
    deliver({
      ...delivery,
      message: { ...delivery.message, id: crypto.randomUUID() },
      redelivered: false,
    }),
  )
}

/** Acknowledges before the message is handled, and waits until the broker has stored that. */
function hasty(broker: Broker): Broker {
  return withDeliveries(broker, async (delivery, deliver) => {
    delivery.ack()
    await until(async () =>
      (await queue.figures()).groups.every((group) => group.topic !== 'order.placed' || group.backlog === 0),
    )
    deliver({ ...delivery, ack: () => {} })
  })
}

function withDeliveries(
  broker: Broker,
  change: (delivery: Delivery, deliver: (delivery: Delivery) => void) => void,
): Broker {
  return {
    ...broker,
    subscribe: (subscription, deliver) =>
      broker.subscribe(subscription, (delivery) => change(delivery, deliver)),
  }
}
