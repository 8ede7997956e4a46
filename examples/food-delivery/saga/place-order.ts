import type { StandardSchemaV1, Store } from 'holdfast'
import { sql } from 'holdfast'
import type { Outbox } from 'holdfast/outbox'
import { type Saga, saga } from 'holdfast/saga'
import type { KitchenAnswer } from '../business/kitchen.ts'
import { endOrder, type Order } from '../business/orders.ts'
import { type Attempt, sayWhereItIs } from './tracking.ts'
import type { SagaMechanism } from './without.ts'

export interface Surroundings {
  readonly store: Store
  readonly outbox: Outbox
  /** Reaches the other services by their names. */
  readonly fetch: typeof fetch
  readonly without: SagaMechanism | undefined
}

/** However often a service is killed, its callers outlast it: an order ends by what was decided and not by an outage. */
const RETRY = { attemptsMax: 500, baseMs: 20, capMs: 400 }

/**
 * One order, from the customer's request to its end. It began in the transaction that wrote the order, so it goes on
 * whatever process dies; and either all four services have done their part in the end, or what was done is given back.
 */
export function placeOrderSaga({ store, outbox, fetch, without }: Surroundings): Saga<Order, void> {
  const undone = without !== 'undo'
  const say = (orderId: string, says: string) => (attempt: Attempt) =>
    sayWhereItIs(fetch, orderId, says, attempt)

  return saga('place-order', async (s, order: Order) => {
    const { orderId, customer, totalCents } = order
    await s.transaction('begin', store, (tx) => setStatus(tx, orderId, 'asked'), {
      undo: (tx) => endOrder(tx, orderId, 'cancelled'),
      ...retried,
    })
    await s.step('say that it is being asked', say(orderId, 'asked'), {
      undo: say(orderId, 'cancelled'),
      ...retried,
    })
    const answers = await s.all('ask', {
      payment: (both) =>
        both.http('charge', {
          url: 'http://payment/charge',
          input: { orderId, customer, totalCents },
          schema: answerOf('charged', 'declined'),
          undo: undone,
          fetch,
          ...retried,
        }),
      kitchen: (both) =>
        both.message('ticket', {
          outbox,
          topic: 'tickets',
          payload: order,
          reply: { schema: answerOf<KitchenAnswer>('accepted', 'sold-out', 'price-changed') },
          ...(undone ? { undo: { payload: order } } : {}),
        }),
    })
    const [payment, kitchen] = [answers.payment.kind, answers.kitchen.kind]
    await s.transaction('write down the answers', store, (tx) =>
      tx.execute(sql`update orders set payment = ${payment}, kitchen = ${kitchen} where id = ${orderId}`),
    )
    if (payment !== 'charged' || kitchen !== 'accepted') throw new Error(`${payment}, ${kitchen}`)

    // Once the customer has been told that it comes, it comes.
    const forward = await s.pivot('say that it comes', say(orderId, 'confirmed'), { retry: RETRY })
    await forward.transaction('confirm', store, (tx) => setStatus(tx, orderId, 'confirmed'))
    await forward.message('courier', { outbox, topic: 'dispatch', payload: { orderId }, reply: {} })
    await forward.step('say that it is there', say(orderId, 'delivered'), { retry: RETRY })
    await forward.transaction('end', store, (tx) => endOrder(tx, orderId, 'delivered'))
  })
}

const retried = { retry: RETRY, undoRetry: RETRY }

async function setStatus(tx: Parameters<typeof endOrder>[0], orderId: string, status: string): Promise<void> {
  await tx.execute(sql`update orders set status = ${status} where id = ${orderId}`)
}

/** What another service says is looked at before it is believed. */
function answerOf<Kind extends string>(...kinds: Kind[]): StandardSchemaV1<unknown, { readonly kind: Kind }> {
  return {
    '~standard': {
      version: 1,
      vendor: 'food-delivery',
      validate(value) {
        const kind = (value as { kind?: unknown } | null)?.kind
        return kinds.includes(kind as Kind)
          ? { value: { kind: kind as Kind } }
          : { issues: [{ message: `must be one of ${kinds.join(', ')}`, path: ['kind'] }] }
      },
    },
  }
}
