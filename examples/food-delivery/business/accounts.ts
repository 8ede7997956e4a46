import { type OwnTransaction, sql } from 'holdfast'

export interface Charge {
  readonly orderId: string
  readonly customer: string
  readonly totalCents: number
}

/** How an account is read before it is written: its row locked, so that nobody changes it before we have. */
export type ReadBalance = (tx: OwnTransaction, account: string) => Promise<number>

export const lockBalance: ReadBalance = async (tx, account) => {
  const [row] = await tx.lockRows('account', { id: account })
  return Number(row?.balance_cents)
}

/** Takes the money, or writes down that there is too little of it. */
export async function charge(
  tx: OwnTransaction,
  { orderId, customer, totalCents }: Charge,
  readBalance: ReadBalance = lockBalance,
): Promise<'charged' | 'declined'> {
  const balance = await readBalance(tx, customer)
  if (balance < totalCents) {
    await log(tx, customer, orderId, 'declined', 0)
    return 'declined'
  }
  await book(tx, customer, orderId, 'charge', -totalCents, balance)
  return 'charged'
}

/** Gives back what the order was charged. False when it was not. */
export async function refund(
  tx: OwnTransaction,
  orderId: string,
  readBalance: ReadBalance = lockBalance,
): Promise<boolean> {
  const [charged] = await tx.query<{ account: string; amount_cents: number }>(
    sql`select account, amount_cents from ledger where order_id = ${orderId} and kind = 'charge'`,
  )
  if (charged === undefined) return false
  const balance = await readBalance(tx, charged.account)
  await book(tx, charged.account, orderId, 'refund', -Number(charged.amount_cents), balance)
  return true
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
