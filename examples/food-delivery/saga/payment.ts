import { createParticipant, expressStep } from 'holdfast/participant'
import { type Charge, charge, refund } from '../business/accounts.ts'
import type { SagaService } from './context.ts'
import { participantWithout } from './without.ts'

/** Charges accounts and gives money back, as a step of a saga over HTTP. */
export const payment: SagaService = ({ store, without, atRisk }) => {
  const participant = participantWithout(without, createParticipant(store))
  return {
    routes: {},
    handlers: {
      'POST /charge': expressStep<Charge>(participant, {
        do: async (tx, input) => {
          const kind = await charge(tx, input)
          atRisk(tx)
          return { kind }
        },
        undo: async (tx, input) => {
          await refund(tx, (input as Charge).orderId)
          atRisk(tx)
        },
      }),
    },
  }
}
