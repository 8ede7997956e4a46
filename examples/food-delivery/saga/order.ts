import { sql } from 'holdfast'
import { deliverReply, sagaRunner } from 'holdfast/saga'
import { orderRoutes } from '../holdfast/order-routes.ts'
import type { SagaService } from './context.ts'
import { placeOrderSaga } from './place-order.ts'

/** How long the sagas of a process that was killed or stopped stand still. Shorter, a busy machine loses it by itself. */
const LEASE_MS = 2_500

/** Takes orders, each of which is a saga, and runs these. */
export const order: SagaService = (surroundings) => {
  const { store, outbox, fetch, without, read, on } = surroundings
  const placeOrder = placeOrderSaga({ store, outbox, fetch, without })
  on('answers', 'order', (tx, message) => deliverReply(tx, message))
  const runner = sagaRunner(store, { sagas: [placeOrder], ttlMs: LEASE_MS, pollMs: 50 })

  return {
    routes: orderRoutes(surroundings, (tx, placed) => placeOrder.start(tx, placed, { id: placed.orderId })),
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
