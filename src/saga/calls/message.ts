import type { OutboundMessage } from '../../outbox/index.ts'
import { never } from '../activity.ts'
import type { MessageCall } from '../context.ts'
import type { Entry } from '../entry.ts'
import { describeThrown } from '../errors.ts'
import { stepMessage } from '../message-step.ts'
import { resolvePolicy } from '../policy.ts'
import type { SagaRun } from '../run.ts'
import { decodeValue, encodeValue, hashOf } from '../value.ts'
import { STEP_TIMEOUT_MS, UNDO_ATTEMPTS } from './perform.ts'
import type { Call, Place } from './place.ts'
import { awaitSignal } from './wait.ts'

/**
 * Sends a message with the entry, and waits for its reply, which comes as a signal. What the outbox would refuse, its undo
 * included, fails the step before anything is sent: in the journal's commit it would hold up other sagas.
 */
export function callMessage(place: Place, name: string, message: MessageCall<unknown>): Promise<unknown> {
  return place.begin('message', name, async (call) => {
    const { run } = place
    const hash = hashOf(encodeValue(`payload of step "${name}"`, message.payload))
    let [sent] = call.answers
    if (sent !== undefined) place.compareInput(call, sent, hash)
    if (sent?.kind === 'failed') throw place.failure(call, sent)
    if (sent?.kind === 'step') return decodeValue(sent.data) // a person has skipped it
    if (sent === undefined) {
      const forth = stepMessage(run, call.step, 'do', message)
      const refused = await refusalOf(place, call.step, message, forth)
      await run.frontier(place.signal)
      if (refused !== undefined) return fail(place, call, hash, refused.error)
      sent = run.append('sent', call.step, call.pos, null, hash)
      run.share().beside.push((tx) => message.outbox.publish(tx, forth))
    }
    registerUndo(place, sent, message)
    place.reach(sent)
    if (message.reply === undefined) return undefined
    const { schema, timeoutMs } = message.reply
    const untilMs = timeoutMs === undefined ? undefined : sent.atMs + timeoutMs
    return awaitSignal(place, call, `reply:${call.step}`, { untilMs, timeoutMs, schema })
  })
}

async function refusalOf(
  { run }: Place,
  step: string,
  message: MessageCall<unknown>,
  forth: OutboundMessage,
): Promise<{ readonly error: unknown } | undefined> {
  const { outbox, undo } = message
  try {
    await outbox.check(run.env.store, forth)
    if (undo !== undefined) await outbox.check(run.env.store, undoMessage(run, step, message, undo))
    return undefined
  } catch (error) {
    return { error }
  }
}

function fail(place: Place, call: Call, hash: string | null, error: unknown): Promise<never> {
  const { run } = place
  if (place.forward) {
    run.stuck(call.step, 'do', error, { pos: call.pos, hash, unknown: false })
    return never()
  }
  const data = JSON.stringify({ error: describeThrown(error), unknown: false })
  throw place.failure(call, run.append('failed', call.step, call.pos, data, hash), error)
}

function undoMessage(
  run: SagaRun,
  step: string,
  message: MessageCall<unknown>,
  { topic = message.topic, payload }: NonNullable<MessageCall<unknown>['undo']>,
): OutboundMessage {
  return stepMessage(run, step, 'undo', { ...message, topic, payload })
}

/** Undone by a message, which leaves with the entry that says so. */
function registerUndo({ run, path }: Place, { step, seq }: Entry, message: MessageCall<unknown>): void {
  const { outbox, undo } = message
  if (undo === undefined) return
  run.undos.push({
    step,
    order: seq,
    branch: path,
    phase: 'undo',
    policy: resolvePolicy(undefined, UNDO_ATTEMPTS),
    timeoutMs: STEP_TIMEOUT_MS,
    run: async () => {
      run.share().beside.push((tx) => outbox.publish(tx, undoMessage(run, step, message, undo)))
      return undefined
    },
  })
}
