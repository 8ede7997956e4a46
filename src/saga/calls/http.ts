import { callStep as callParticipant } from '../../participant/index.ts'
import type { AttemptContext, Phase } from '../attempt.ts'
import type { HttpCall } from '../context.ts'
import { encodeValue } from '../value.ts'
import { commonSpec, perform } from './perform.ts'
import type { Place } from './place.ts'

export function callHttp(place: Place, name: string, http: HttpCall<unknown>): Promise<unknown> {
  return place.begin('step', name, async (call) =>
    perform(place, call, {
      ...commonSpec(name, http, encodeValue(`input of step "${name}"`, http.input)),
      phase: 'do',
      attempt: async (context) => ({ value: await send(http, 'do', context) }),
      undo: http.undo
        ? async (context) => {
            await send(http, 'undo', context)
            return undefined
          }
        : undefined,
    }),
  )
}

/** One attempt, in the wire form of the participants; the idempotency key is sent as well. */
async function send(http: HttpCall<unknown>, phase: Phase, context: AttemptContext): Promise<unknown> {
  const { url, input, headers, schema, timeoutMs, fetch } = http
  const { result } = await callParticipant(url, {
    saga: context.saga,
    step: context.step,
    phase,
    epoch: context.epoch,
    input: input ?? null,
    signal: context.signal,
    headers: { ...headers, 'idempotency-key': context.key },
    ...(schema !== undefined && { schema }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(fetch !== undefined && { fetch }),
  })
  return result
}
