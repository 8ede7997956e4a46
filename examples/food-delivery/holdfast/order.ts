import { type OwnTransaction, sql } from 'holdfast'
import { endOrder } from '../business/orders.ts'
import type { AnswerEvent } from '../shared/domain.ts'
import type { HoldfastService } from './context.ts'
import { orderRoutes } from './order-routes.ts'

interface OrderRow {
  readonly id: string
  readonly status: string
  readonly payment: string | null
  readonly kitchen: string | null
  readonly refunded: number
  readonly returned: number
}

/** Takes orders and follows them to their end. */
export const order: HoldfastService = (context) => {
  const { publish, on, without } = context
  on<AnswerEvent>('answers', 'order', async (tx, { kind, orderId }) => {
    const [before] = await tx.lockRows<OrderRow>('orders', { id: orderId })
    if (before === undefined) return
    const row = withAnswer(before, kind)
    await tx.execute(
      sql`update orders set payment = ${row.payment}, kitchen = ${row.kitchen}, refunded = ${row.refunded},
        returned = ${row.returned} where id = ${orderId}`,
    )
    switch (row.status) {
      case 'placed':
        return decide(tx, row)
      case 'confirmed':
        return kind === 'delivered' ? endOrder(tx, orderId, 'delivered') : undefined
      case 'cancelling': {
        const refunded = row.payment !== 'charged' || row.refunded === 1
        const returned = row.kitchen !== 'accepted' || row.returned === 1
        return refunded && returned ? endOrder(tx, orderId, 'cancelled') : undefined
      }
    }
  })

  /** Both have answered: send the courier, or have given back what was done. */
  async function decide(tx: OwnTransaction, { id, payment, kitchen }: OrderRow): Promise<void> {
    if (payment === null || kitchen === null) return
    const refund = payment === 'charged'
    const returnStock = kitchen === 'accepted'
    if (refund && returnStock) {
      await tx.execute(sql`update orders set status = 'confirmed' where id = ${id}`)
      await publish(tx, 'dispatch', { kind: 'confirmed', orderId: id })
    } else if ((refund || returnStock) && without !== 'undo') {
      await tx.execute(sql`update orders set status = 'cancelling' where id = ${id}`)
      await publish(tx, 'orders', { kind: 'cancelled', orderId: id, refund, returnStock })
    } else {
      await endOrder(tx, id, 'cancelled')
    }
  }

  return {
    routes: orderRoutes(context, (tx, order) => publish(tx, 'orders', { kind: 'placed', ...order })),
  }
}

function withAnswer(row: OrderRow, kind: AnswerEvent['kind']): OrderRow {
  switch (kind) {
    case 'charged':
    case 'declined':
      return { ...row, payment: kind }
    case 'accepted':
    case 'sold-out':
    case 'price-changed':
      return { ...row, kitchen: kind }
    case 'refunded':
      return { ...row, refunded: 1 }
    case 'returned':
      return { ...row, returned: 1 }
    case 'delivered':
      return row
  }
}
