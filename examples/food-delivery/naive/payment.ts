import type { OrderEvent } from '../shared/domain.ts'
import type { NaiveService } from './context.ts'

/** Charges accounts and gives money back, the way it is first written. */
export const payment: NaiveService = async ({ query, publish, on }) => {
  await on<OrderEvent>('orders', 'payment', async (event) => {
    const { orderId } = event
    if (event.kind === 'placed') {
      const balance = await readBalance(event.customer)
      if (balance < event.totalCents) {
        await log(event.customer, orderId, 'declined', 0)
        await publish('answers', { kind: 'declined', orderId })
        return
      }
      await book(event.customer, orderId, 'charge', -event.totalCents, balance)
      await publish('answers', { kind: 'charged', orderId })
    } else if (event.refund) {
      const [charge] = await query<{ account: string; amount_cents: number }>(
        "select account, amount_cents from ledger where order_id = ? and kind = 'charge'",
        orderId,
      )
      if (charge === undefined) return
      const balance = await readBalance(charge.account)
      await book(charge.account, orderId, 'refund', -Number(charge.amount_cents), balance)
      await publish('answers', { kind: 'refunded', orderId })
    }
  })

  async function readBalance(account: string): Promise<number> {
    const [row] = await query<{ balance_cents: number }>(
      'select balance_cents from account where id = ?',
      account,
    )
    return Number(row?.balance_cents)
  }

  async function book(account: string, orderId: string, kind: string, amount: number, balance: number) {
    await query('update account set balance_cents = ? where id = ?', balance + amount, account)
    await log(account, orderId, kind, amount)
  }

  async function log(account: string, orderId: string, kind: string, amount: number) {
    await query(
      'insert into ledger (account, order_id, kind, amount_cents, at_ms) values (?, ?, ?, ?, ?)',
      account,
      orderId,
      kind,
      amount,
      Date.now(),
    )
  }

  return {}
}
