import { randomBytes } from 'node:crypto'
import { type OwnTransaction, sql } from 'holdfast'
import type { PlaceOrder } from '../shared/domain.ts'

/** An order as the other services hear of it. */
export interface Order extends PlaceOrder {
  readonly orderId: string
  readonly totalCents: number
}

/** Writes down what the customer ordered under this key. */
export async function insertOrder(tx: OwnTransaction, key: string, placed: PlaceOrder): Promise<Order> {
  const { customer, dish, quantity, priceCents, menuVersion } = placed
  const orderId = `${key}.${randomBytes(3).toString('hex')}`
  const totalCents = quantity * priceCents
  await tx.execute(
    sql`insert into orders (id, idempotency_key, customer, dish, quantity, price_cents, menu_version,
        total_cents, status, placed_at_ms)
      values (${orderId}, ${key}, ${customer}, ${dish}, ${quantity}, ${priceCents}, ${menuVersion}, ${totalCents},
        'placed', ${Date.now()})`,
  )
  return { customer, dish, quantity, priceCents, menuVersion, orderId, totalCents }
}

export async function endOrder(tx: OwnTransaction, id: string, status: 'delivered' | 'cancelled') {
  await tx.execute(sql`update orders set status = ${status}, ended_at_ms = ${Date.now()} where id = ${id}`)
}
