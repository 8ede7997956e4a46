import { sql } from 'holdfast'
import { once } from 'holdfast/effects'
import { deliverReply, sagaRunner } from 'holdfast/saga'
import { insertOrder } from '../business/orders.ts'
import type { PlaceOrder } from '../shared/domain.ts'
import type { SagaService } from './context.ts'
import { placeOrderSaga } from './place-order.ts'

/** How long the sagas of a process that was killed or stopped stand still. Shorter, a busy machine loses it by itself. */
const LEASE_MS = 2_500

/** Takes orders, each of which is a saga, and runs these. */
export const order: SagaService = ({ store, outbox, fetch, without, transaction, read, on }) => {
  const placeOrder = placeOrderSaga({ store, outbox, fetch, without })
  on('answers', 'order', (tx, message) => deliverReply(tx, message))
  const runner = sagaRunner(store, { sagas: [placeOrder], ttlMs: LEASE_MS, pollMs: 50 })

  return {
    routes: {
      async 'POST /orders'({ headers, body }) {
        const key = String(headers['idempotency-key'])
        // The key's row, the order and the start of its saga are one transaction.
        const { result } = await transaction((tx) =>
          once(tx, { scope: 'orders', id: key }, async () => {
            const placed = await insertOrder(tx, key, body as PlaceOrder)
            await placeOrder.start(tx, placed, { id: placed.orderId })
            return { orderId: placed.orderId }
          }),
        )
        return { status: 201, body: result }
      },
    },
    async inHand() {
      const [row] = await read<{ waiting: number }>(
        sql`select count(*) as waiting from orders where ended_at_ms is null`,
      )
      return Number(row?.waiting)
    },
    stop: async () => {
      await runner.stop({ drainMs: 500 })
    },
  }
}
