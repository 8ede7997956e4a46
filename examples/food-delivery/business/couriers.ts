import { type OwnTransaction, sql } from 'holdfast'
import { TRIP_FEE_CENTS } from '../shared/domain.ts'

interface Courier {
  readonly id: string
  readonly trips: number
  readonly earned_cents: number
}

/** Sends the courier with the fewest trips. */
export async function sendCourier(tx: OwnTransaction, orderId: string): Promise<void> {
  const [courier] = await tx.lockRows<Courier>('courier', sql`1 = 1`, { orderBy: ['trips', 'id'], limit: 1 })
  if (courier === undefined) throw new Error('there are no couriers')
  await tx.execute(
    sql`update courier set trips = ${courier.trips + 1},
      earned_cents = ${Number(courier.earned_cents) + TRIP_FEE_CENTS} where id = ${courier.id}`,
  )
  await tx.execute(
    sql`insert into delivery (order_id, courier, fee_cents, at_ms)
      values (${orderId}, ${courier.id}, ${TRIP_FEE_CENTS}, ${Date.now()})`,
  )
}
