import { sql } from 'holdfast'
import { charge, lockBalance, type ReadBalance, refund } from '../business/accounts.ts'
import type { OrderEvent } from '../shared/domain.ts'
import type { HoldfastService } from './context.ts'

/** Charges accounts and gives money back. */
export const payment: HoldfastService = ({ publish, on, without }) => {
  const readBalance = without === 'lock' ? seeBalance : lockBalance
  on<OrderEvent>('orders', 'payment', async (tx, event) => {
    const { orderId } = event
    if (event.kind === 'placed') {
      await publish(tx, 'answers', { kind: await charge(tx, event, readBalance), orderId })
    } else if (event.refund && (await refund(tx, orderId, readBalance))) {
      await publish(tx, 'answers', { kind: 'refunded', orderId })
    }
  })
  return { routes: {} }
}

const seeBalance: ReadBalance = async (tx, account) => {
  const [row] = await tx.query<{ balance_cents: number }>(
    sql`select balance_cents from account where id = ${account}`,
  )
  return Number(row?.balance_cents)
}
