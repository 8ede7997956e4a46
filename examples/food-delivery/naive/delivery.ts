import { type DispatchEvent, TRIP_FEE_CENTS } from '../shared/domain.ts'
import type { NaiveService } from './context.ts'

/** Sends couriers, the way it is first written. */
export const delivery: NaiveService = async ({ query, publish, on }) => {
  await on<DispatchEvent>('dispatch', 'delivery', async ({ orderId }) => {
    const [courier] = await query<{ id: string; trips: number; earned_cents: number }>(
      'select * from courier order by trips, id limit 1',
    )
    if (courier === undefined) return
    await query(
      'update courier set trips = ?, earned_cents = ? where id = ?',
      courier.trips + 1,
      Number(courier.earned_cents) + TRIP_FEE_CENTS,
      courier.id,
    )
    await query(
      'insert into delivery (order_id, courier, fee_cents, at_ms) values (?, ?, ?, ?)',
      orderId,
      courier.id,
      TRIP_FEE_CENTS,
      Date.now(),
    )
    await publish('answers', { kind: 'delivered', orderId })
  })
  return {}
}
