import type { OwnTransaction } from 'holdfast'
import { once } from 'holdfast/effects'
import { insertOrder, type Order } from '../business/orders.ts'
import type { PlaceOrder } from '../shared/domain.ts'
import type { Routes } from '../shared/http.ts'
import type { Runtime } from './runtime.ts'

/**
 * `POST /orders`: the key's row, the order and what `begin` sets in motion are one transaction; a repeated request gets the
 * stored answer.
 */
export function orderRoutes(
  { transaction }: Pick<Runtime, 'transaction'>,
  begin: (tx: OwnTransaction, order: Order) => Promise<unknown>,
): Routes {
  return {
    async 'POST /orders'({ headers, body }) {
      const key = String(headers['idempotency-key'])
      const { result } = await transaction((tx) =>
        once(tx, { scope: 'orders', id: key }, async () => {
          const order = await insertOrder(tx, key, body as PlaceOrder)
          await begin(tx, order)
          return { orderId: order.orderId }
        }),
      )
      return { status: 201, body: result }
    },
  }
}
