import { sendCourier } from '../business/couriers.ts'
import type { DispatchEvent } from '../shared/domain.ts'
import type { HoldfastService } from './context.ts'

/** Sends couriers. */
export const delivery: HoldfastService = ({ publish, on }) => {
  on<DispatchEvent>('dispatch', 'delivery', async (tx, { orderId }) => {
    await sendCourier(tx, orderId)
    await publish(tx, 'answers', { kind: 'delivered', orderId })
  })
  return { routes: {} }
}
