import { sql } from 'holdfast'
import {
  decideTicket,
  type Judgement,
  logSale,
  returnPortions,
  soundly,
  takeTicket,
} from '../business/kitchen.ts'
import type { OrderEvent } from '../shared/domain.ts'
import type { HoldfastService } from './context.ts'
import { startCooks } from './cooks.ts'
import { menuRoutes } from './menu-routes.ts'
import type { Mechanism } from './without.ts'

/** Keeps the menu and the stock and takes orders into the kitchen. */
export const restaurant: HoldfastService = (context) => {
  const { publish, on, without } = context
  const judgement = judgementWithout(without)
  on<OrderEvent>('orders', 'restaurant', async (tx, event) => {
    const { orderId } = event
    if (event.kind === 'placed') {
      await takeTicket(tx, event)
      tx.afterCommit(() => cooks.wake())
    } else if (event.returnStock && (await returnPortions(tx, orderId))) {
      await publish(tx, 'answers', { kind: 'returned', orderId })
    }
  })

  const cooks = startCooks(context, async (tx, ticket, seenPortions) => {
    const answer = await decideTicket(tx, ticket, seenPortions, judgement)
    if (answer !== undefined) await publish(tx, 'answers', { kind: answer, orderId: ticket.order_id })
  })

  return { routes: menuRoutes(context), inHand: cooks.inHand, stop: cooks.stop }
}

function judgementWithout(mechanism: Mechanism | undefined): Judgement {
  if (mechanism === 'lock') return { ...soundly, portionsLeft: async (_tx, _dish, seen) => seen }
  if (mechanism === 'version') {
    return {
      ...soundly,
      async sell(tx, ticket) {
        await tx.execute(sql`update menu set last_order = ${ticket.order_id} where dish = ${ticket.dish}`)
        await logSale(tx, ticket)
        return true
      },
    }
  }
  return soundly
}
