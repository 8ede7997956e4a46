import { createParticipant } from 'holdfast/participant'
import { replyToSaga } from 'holdfast/saga'
import { sendCourier } from '../business/couriers.ts'
import type { SagaService } from './context.ts'
import { performMessage } from './message-step.ts'
import { trackingRoutes } from './tracking.ts'
import { participantWithout } from './without.ts'

/** Sends couriers, as a step of a saga by message, and keeps the page on which customers see where their order is. */
export const delivery: SagaService = ({ store, outbox, without, transaction, on }) => {
  const participant = participantWithout(without, createParticipant(store))
  on<{ orderId: string }>('dispatch', 'delivery', (tx, message) =>
    performMessage(participant, tx, message, async () => {
      await sendCourier(tx, message.payload.orderId)
      await replyToSaga(tx, outbox, message, { topic: 'answers', payload: { kind: 'delivered' } })
    }),
  )
  return { routes: trackingRoutes({ transaction, fenced: without !== 'epoch' }) }
}
