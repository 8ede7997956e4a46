import { callStep } from '../participant/index.ts'
import type { HttpCall } from './context.ts'
import type { AttemptContext, Phase } from './run.ts'

/** One attempt of a call over HTTP, in the wire form of the participants; the idempotency key is sent as well. */
export async function callHttp(
  http: HttpCall<unknown>,
  phase: Phase,
  context: AttemptContext,
): Promise<unknown> {
  const { url, input, headers, schema, timeoutMs, fetch } = http
  const { result } = await callStep(url, {
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
