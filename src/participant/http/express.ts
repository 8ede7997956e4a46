import type { Participant } from '../participant.ts'
import {
  answerError,
  answerStep,
  BODY_LIMIT_BYTES,
  checkHttpStep,
  type HttpStep,
  type StepRequest,
} from './answer-step.ts'
import { StepInvalidError } from './wire.ts'

/** The part of an Express request that is read. */
export interface ExpressRequestLike extends AsyncIterable<unknown> {
  readonly method?: string | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Set where a body parser ran before. */
  readonly body?: unknown
}

/** The part of an Express response that is written. Node's own ServerResponse has it too. */
export interface ExpressResponseLike {
  // biome-ignore lint/suspicious/noExplicitAny: Node overloads it
  writeHead(status: number, headers: any): unknown
  // biome-ignore lint/suspicious/noExplicitAny: Node overloads it
  end(body: any): unknown
}

/**
 * A step as a handler for Express (or a bare `node:http` server): `app.post('/charge', expressStep(payments, { do: … }))`.
 * With or without `express.json()` before it; without, it reads the body itself.
 * @throws ConfigError for a step that cannot be served
 */
export function expressStep<Input>(
  participant: Participant,
  step: HttpStep<Input>,
): (request: ExpressRequestLike, response: ExpressResponseLike) => Promise<void> {
  checkHttpStep(participant, step)
  return async (request, response) => {
    const answer = await readBody(request, step.limitBytes ?? BODY_LIMIT_BYTES).then(
      (body) =>
        answerStep(participant, step, {
          method: request.method ?? '',
          header: (name) => first(request.headers[name]),
          body,
        }),
      (error: unknown) => answerError(error, step.log),
    )
    response.writeHead(answer.status, answer.headers)
    response.end(answer.body)
  }
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

async function readBody(request: ExpressRequestLike, limitBytes: number): Promise<StepRequest['body']> {
  if (request.body !== undefined) return { json: request.body }
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request) {
    const data = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Uint8Array)
    bytes += data.byteLength
    if (bytes > limitBytes)
      throw new StepInvalidError(`the body has more than ${limitBytes} bytes`, { status: 413 })
    chunks.push(data)
  }
  return { text: Buffer.concat(chunks).toString('utf8') }
}
