import { createParticipant } from 'holdfast/participant'
import { MESSAGE_HEADERS, replyToSaga } from 'holdfast/saga'
import { decideTicket, takeTicket, withdrawTicket } from '../business/kitchen.ts'
import type { Order } from '../business/orders.ts'
import { startCooks } from '../holdfast/cooks.ts'
import { menuRoutes } from '../holdfast/menu-routes.ts'
import type { SagaService } from './context.ts'
import { performMessage } from './message-step.ts'
import { participantWithout } from './without.ts'

/** Keeps the menu and the stock and takes orders into the kitchen, as a step of a saga by message. */
export const restaurant: SagaService = (context) => {
  const { store, outbox, without, on } = context
  const participant = participantWithout(without, createParticipant(store))
  on<Order>('tickets', 'restaurant', (tx, message) =>
    performMessage(participant, tx, message, async ({ phase, step }) => {
      if (phase === 'undo') return withdrawTicket(tx, message.payload.orderId)
      await takeTicket(tx, message.payload, step)
      tx.afterCommit(() => cooks.wake())
    }),
  )

  /** The answer comes when a cook has decided, long after the message: the ticket knows which step waits for it. */
  const cooks = startCooks(context, async (tx, ticket, seenPortions) => {
    const kind = await decideTicket(tx, ticket, seenPortions)
    if (kind === undefined) return
    const headers = {
      [MESSAGE_HEADERS.saga]: ticket.order_id,
      [MESSAGE_HEADERS.step]: String(ticket.asked_by),
    }
    await replyToSaga(tx, outbox, { headers }, { topic: 'answers', payload: { kind } })
  })

  return { routes: menuRoutes(context), inHand: cooks.inHand, stop: cooks.stop }
}
