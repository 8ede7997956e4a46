import type { Participant, StepCall, StepContext } from 'holdfast/participant'

/** The mechanisms of which one may be taken out, to see what it was there for. */
export const SAGA_MECHANISMS = ['barrier', 'epoch', 'undo'] as const
export type SagaMechanism = (typeof SAGA_MECHANISMS)[number]

/** What each mechanism keeps from happening: the anomaly that must show without it. */
export const SAGA_PREVENTS = {
  barrier: 'chargedTwice',
  epoch: 'servicesDisagree',
  undo: 'halfDone',
} as const satisfies Record<SagaMechanism, string>

/** The participant of a service, less the mechanism. */
export function participantWithout(
  mechanism: SagaMechanism | undefined,
  participant: Participant,
): Participant {
  if (mechanism === 'barrier') return forgetful(participant)
  if (mechanism === 'epoch') return ageless(participant)
  return participant
}

/** `--without barrier`: each call runs as if it had never come before. */
function forgetful(participant: Participant): Participant {
  const contextOf = (call: StepCall, signal: AbortSignal): StepContext => ({
    ...call,
    forward: undefined,
    signal,
  })
  return {
    ...participant,
    run: async (tx, call, work) => ({ kind: 'done', result: await work(contextOf(call, tx.signal)) }),
    transaction: (call, work, options) =>
      participant.store.transaction(
        async (tx) => ({ kind: 'done', result: await work(tx, contextOf(call, tx.signal)) }),
        options,
      ),
  }
}

/** `--without epoch`: nobody comes too late. */
function ageless(participant: Participant): Participant {
  return {
    ...participant,
    run: (tx, call, work) => participant.run(tx, { ...call, epoch: 0n }, work),
    transaction: (call, work, options) => participant.transaction({ ...call, epoch: 0n }, work, options),
  }
}
