import type { OwnTransaction } from 'holdfast'
import type { Participant, StepCall, StepContext, StepPhase } from 'holdfast/participant'
import { MESSAGE_HEADERS } from 'holdfast/saga'
import type { Received } from '../holdfast/runtime.ts'

/**
 * Runs a saga's message behind the barrier of the participant. One that comes after its undo, or from an attempt that was
 * overtaken, has nothing to do any more.
 */
export async function performMessage(
  participant: Participant,
  tx: OwnTransaction,
  message: Received<unknown>,
  work: (context: StepContext) => Promise<unknown>,
): Promise<void> {
  try {
    await participant.run(tx, callOf(message), async (context) => void (await work(context)))
  } catch (error) {
    if (!PASSED.has((error as { code?: string }).code ?? '')) throw error
  }
}

const PASSED = new Set(['STEP_UNDONE', 'STALE_EPOCH'])

function callOf({ headers }: Received<unknown>): StepCall {
  return {
    saga: String(headers[MESSAGE_HEADERS.saga]),
    step: String(headers[MESSAGE_HEADERS.step]),
    phase: headers[MESSAGE_HEADERS.phase] as StepPhase,
    epoch: BigInt(String(headers[MESSAGE_HEADERS.epoch])),
  }
}
