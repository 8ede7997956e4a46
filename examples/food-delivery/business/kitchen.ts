import { type OwnTransaction, sql } from 'holdfast'
import { readMenu, updatedAt } from './menu.ts'
import type { Order } from './orders.ts'

export interface Ticket {
  /** int8 columns arrive as text from `pg`. */
  readonly id: number | string
  readonly order_id: string
  readonly dish: string
  readonly quantity: number
  readonly price_cents: number
  readonly menu_version: number
  readonly state: string
  /** Who asked, where the answer has to say so. */
  readonly asked_by: string | null
}

export type KitchenAnswer = 'accepted' | 'sold-out' | 'price-changed'

/** The two steps of a decision that a run can go without. */
export interface Judgement {
  /** Gives the portions left of a dish, of which the cook has seen `seen` before. */
  readonly portionsLeft: (tx: OwnTransaction, dish: string, seen: number) => Promise<number>
  /** False when the price is not the one on the ticket any more. */
  readonly sell: (tx: OwnTransaction, ticket: Ticket) => Promise<boolean>
}

export const soundly: Judgement = { portionsLeft: lockPortions, sell: sellAtSeenPrice }

/** Puts an order before the cooks. */
export async function takeTicket(tx: OwnTransaction, order: Order, askedBy: string | null = null) {
  const { orderId, dish, quantity, priceCents, menuVersion } = order
  await tx.execute(
    sql`insert into ticket (order_id, dish, quantity, price_cents, menu_version, state, asked_by, at_ms)
      values (${orderId}, ${dish}, ${quantity}, ${priceCents}, ${menuVersion}, 'new', ${askedBy}, ${Date.now()})`,
  )
}

/** What the cook sees on the board before thinking; by the time of the decision it may be old. */
export const boardOf = (dish: string) => sql`select portions_left from dish where id = ${dish}`

/** Decides about a ticket and records that; undefined when that was done before. */
export async function decideTicket(
  tx: OwnTransaction,
  ticket: Ticket,
  seenPortions: number,
  how: Judgement = soundly,
): Promise<KitchenAnswer | undefined> {
  const [current] = await tx.lockRows<Ticket>('ticket', { id: ticket.id })
  if (current?.state !== 'new') return undefined
  const answer = await judge(tx, ticket, seenPortions, how)
  await tx.execute(sql`update ticket set state = ${answer}, at_ms = ${Date.now()} where id = ${ticket.id}`)
  return answer
}

async function judge(
  tx: OwnTransaction,
  ticket: Ticket,
  seenPortions: number,
  { portionsLeft, sell }: Judgement,
): Promise<KitchenAnswer> {
  const { dish, quantity } = ticket
  const left = await portionsLeft(tx, dish, seenPortions)
  if (left < quantity) return 'sold-out'
  if (!(await sell(tx, ticket))) return 'price-changed'
  await tx.execute(sql`update dish set portions_left = ${left - quantity} where id = ${dish}`)
  return 'accepted'
}

/** Puts the portions of an order back. False when there are none to put back. */
export async function returnPortions(tx: OwnTransaction, orderId: string): Promise<boolean> {
  const [ticket] = await tx.lockRows<Ticket>('ticket', { order_id: orderId, state: 'accepted' })
  if (ticket === undefined) return false
  const left = await lockPortions(tx, ticket.dish)
  await tx.execute(sql`update dish set portions_left = ${left + ticket.quantity} where id = ${ticket.dish}`)
  await tx.execute(sql`update ticket set state = 'returned' where id = ${ticket.id}`)
  return true
}

/** Takes an order back from the kitchen, whether it was decided or not. */
export async function withdrawTicket(tx: OwnTransaction, orderId: string): Promise<void> {
  const withdrawn = await tx.execute(
    sql`update ticket set state = 'withdrawn' where order_id = ${orderId} and state = 'new'`,
  )
  if (withdrawn === 0) await returnPortions(tx, orderId)
}

/** The row stays locked until the end of the transaction, so what was read is still true when it is written. */
async function lockPortions(tx: OwnTransaction, dish: string): Promise<number> {
  const [row] = await tx.lockRows('dish', { id: dish })
  return Number(row?.portions_left)
}

/**
 * The menu as the customer saw it is the condition of the sale: the write happens only at that version. Other sales
 * raise the version too, so a conflict is looked at again; it is the price that must be the same.
 */
async function sellAtSeenPrice(tx: OwnTransaction, ticket: Ticket): Promise<boolean> {
  const { dish, order_id, price_cents } = ticket
  let version = BigInt(ticket.menu_version)
  while (!(await updatedAt(tx, dish, version, { last_order: order_id }))) {
    const menu = await readMenu(tx, dish)
    if (menu.priceCents !== price_cents) return false
    version = menu.version
  }
  await logSale(tx, ticket)
  return true
}

export async function logSale(tx: OwnTransaction, { dish, order_id, price_cents }: Ticket): Promise<void> {
  await tx.execute(
    sql`insert into menu_log (dish, kind, price_cents, order_id)
      values (${dish}, 'accepted', ${price_cents}, ${order_id})`,
  )
}
