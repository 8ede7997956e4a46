import { createParticipant, type Participant } from '../../participant/index.ts'
import type { Store } from '../../store/store.ts'

const participants = new WeakMap<Store, Participant>()

/** The barrier of the sagas in a store. */
export function barrierOf(store: Store): Participant {
  let participant = participants.get(store)
  if (participant === undefined) {
    participant = createParticipant(store, { name: 'saga' })
    participants.set(store, participant)
  }
  return participant
}
