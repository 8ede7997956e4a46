import { type OwnTransaction, sql } from 'holdfast'
import type { OrderEvent } from '../shared/domain.ts'
import type { HoldfastService } from './context.ts'

/** Charges accounts and gives money back. */
export const payment: HoldfastService = ({ publish, on, without }) => {
  on<OrderEvent>('orders', 'payment', async (tx, event) => {
    const { orderId } = event
    if (event.kind === 'placed') {
      const balance = await lockBalance(tx, event.customer)
      if (balance < event.totalCents) {
        await log(tx, event.customer, orderId, 'declined', 0)
        await publish(tx, 'answers', { kind: 'declined', orderId })
        return
      }
      await book(tx, event.customer, orderId, 'charge', -event.totalCents, balance)
      await publish(tx, 'answers', { kind: 'charged', orderId })
    } else if (event.refund) {
      const [charge] = await tx.query<{ account: string; amount_cents: number }>(
        sql`select account, amount_cents from ledger where order_id = ${orderId} and kind = 'charge'`,
      )
      if (charge === undefined) return
      const balance = await lockBalance(tx, charge.account)
      await book(tx, charge.account, orderId, 'refund', -Number(charge.amount_cents), balance)
      await publish(tx, 'answers', { kind: 'refunded', orderId })
    }
  })

  async function lockBalance(tx: OwnTransaction, account: string): Promise<number> {
    const [row] =
      without === 'lock'
        ? await tx.query(sql`select balance_cents from account where id = ${account}`)
        : await tx.lockRows('account', { id: account })
    return Number(row?.balance_cents)
  }

  /** The balance and the ledger are two rows that must change together. */
  async function book(
    tx: OwnTransaction,
    account: string,
    orderId: string,
    kind: string,
    amount: number,
    balance: number,
  ): Promise<void> {
    await tx.execute(sql`update account set balance_cents = ${balance + amount} where id = ${account}`)
    await log(tx, account, orderId, kind, amount)
  }

  async function log(tx: OwnTransaction, account: string, orderId: string, kind: string, amount: number) {
    await tx.execute(
      sql`insert into ledger (account, order_id, kind, amount_cents, at_ms)
        values (${account}, ${orderId}, ${kind}, ${amount}, ${Date.now()})`,
    )
  }

  return { routes: {} }
}
