import { randomBytes } from 'node:crypto'
import type { AnswerEvent, PlaceOrder } from '../shared/domain.ts'
import type { NaiveService } from './context.ts'

interface OrderRow {
  id: string
  payment: string | null
  kitchen: string | null
  refunded: number
  returned: number
  status: string
}

/** Takes orders and follows them to their end, the way it is first written. */
export const order: NaiveService = async ({ query, publish, on }) => {
  await on<AnswerEvent>('answers', 'order', async ({ kind, orderId }) => {
    const [row] = await query<OrderRow>('select * from orders where id = ?', orderId)
    if (row === undefined) return
    switch (kind) {
      case 'charged':
      case 'declined':
        await query('update orders set payment = ? where id = ?', kind, orderId)
        row.payment = kind
        return decide(row)
      case 'accepted':
      case 'sold-out':
      case 'price-changed':
        await query('update orders set kitchen = ? where id = ?', kind, orderId)
        row.kitchen = kind
        return decide(row)
      case 'refunded':
      case 'returned': {
        await query(`update orders set ${kind} = 1 where id = ?`, orderId)
        const refunded = kind === 'refunded' || row.refunded === 1 || row.payment === 'declined'
        const returned = kind === 'returned' || row.returned === 1 || row.kitchen !== 'accepted'
        if (refunded && returned) await end(orderId, 'cancelled')
        return
      }
      case 'delivered':
        return end(orderId, 'delivered')
    }
  })

  /** Both have answered: send the courier, or give back what was done. */
  async function decide({ id, payment, kitchen }: OrderRow): Promise<void> {
    if (payment === null || kitchen === null) return
    const refund = payment === 'charged'
    const returnStock = kitchen === 'accepted'
    if (refund && returnStock) {
      await query("update orders set status = 'confirmed' where id = ?", id)
      await publish('dispatch', { kind: 'confirmed', orderId: id })
    } else if (refund || returnStock) {
      await query("update orders set status = 'cancelling' where id = ?", id)
      await publish('orders', { kind: 'cancelled', orderId: id, refund, returnStock })
    } else {
      await end(id, 'cancelled')
    }
  }

  async function end(id: string, status: string): Promise<void> {
    await query('update orders set status = ?, ended_at_ms = ? where id = ?', status, Date.now(), id)
  }

  return {
    async 'POST /orders'({ headers, body }) {
      const key = String(headers['idempotency-key'])
      const placed = body as PlaceOrder
      const [seen] = await query<{ id: string }>('select id from orders where idempotency_key = ?', key)
      if (seen !== undefined) return { status: 201, body: { orderId: seen.id } }
      const orderId = `${key}.${randomBytes(3).toString('hex')}`
      const totalCents = placed.quantity * placed.priceCents
      await query(
        `insert into orders (id, idempotency_key, customer, dish, quantity, price_cents, menu_version,
           total_cents, status, placed_at_ms) values (?, ?, ?, ?, ?, ?, ?, ?, 'placed', ?)`,
        orderId,
        key,
        placed.customer,
        placed.dish,
        placed.quantity,
        placed.priceCents,
        placed.menuVersion,
        totalCents,
        Date.now(),
      )
      await publish('orders', { kind: 'placed', orderId, totalCents, ...placed })
      return { status: 201, body: { orderId } }
    },
  }
}
