import type { MessageCall } from '../context.ts'
import type { Entry } from '../entry.ts'
import { publishStep } from '../message-step.ts'
import { resolvePolicy } from '../policy.ts'
import { encodeValue, hashOf } from '../value.ts'
import { STEP_TIMEOUT_MS, UNDO_ATTEMPTS } from './perform.ts'
import type { Place } from './place.ts'
import { awaitSignal } from './wait.ts'

/** Sends a message with the entry, and waits for its reply, which comes as a signal. */
export function callMessage(place: Place, name: string, message: MessageCall<unknown>): Promise<unknown> {
  return place.begin('message', name, async (call) => {
    const { run } = place
    const text = encodeValue(`payload of step "${name}"`, message.payload)
    let [sent] = call.answers
    if (sent !== undefined) place.compareInput(call, sent, hashOf(text))
    else {
      await run.frontier(place.signal)
      sent = run.append('sent', call.step, call.pos, null, hashOf(text))
      run.share().beside.push((tx) => publishStep(tx, run, call.step, 'do', message))
    }
    registerUndo(place, sent, message)
    place.lastMs = sent.atMs
    if (message.reply === undefined) return undefined
    const { schema, timeoutMs } = message.reply
    const untilMs = timeoutMs === undefined ? undefined : sent.atMs + timeoutMs
    return awaitSignal(place, call, `reply:${call.step}`, { untilMs, timeoutMs, schema })
  })
}

/** Undone by a message, which leaves with the entry that says so. */
function registerUndo({ run, path }: Place, { step, seq }: Entry, message: MessageCall<unknown>): void {
  const { undo } = message
  if (undo === undefined) return
  run.undos.push({
    step,
    order: seq,
    branch: path,
    phase: 'undo',
    policy: resolvePolicy(undefined, UNDO_ATTEMPTS),
    timeoutMs: STEP_TIMEOUT_MS,
    run: async () => {
      const back = { ...message, topic: undo.topic ?? message.topic, payload: undo.payload }
      run.share().beside.push((tx) => publishStep(tx, run, step, 'undo', back))
      return undefined
    },
  })
}
