import { checkArguments, isText } from '../../core/options.ts'
import type { Participant } from '../participant.ts'
import {
  answerError,
  answerStep,
  BODY_LIMIT_BYTES,
  checkHttpStep,
  type HttpStep,
  invalidBody,
  type StepAnswer,
} from './answer-step.ts'

/** The part of a Fastify request that is read. */
export interface FastifyRequestLike {
  readonly method: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: unknown
}

/** The part of a Fastify reply that is written. */
export interface FastifyReplyLike {
  // biome-ignore lint/suspicious/noExplicitAny: each of Fastify's types depends on the route
  code(status: number): any
  // biome-ignore lint/suspicious/noExplicitAny: see above
  headers(values: any): any
  // biome-ignore lint/suspicious/noExplicitAny: see above
  send(body: any): any
}

export interface FastifyStepRoute {
  readonly method: 'POST'
  readonly url: string
  readonly bodyLimit: number
  handler(request: FastifyRequestLike, reply: FastifyReplyLike): Promise<void>
  errorHandler(error: unknown, request: unknown, reply: FastifyReplyLike): void
}

/**
 * A step as a route of Fastify: `app.route(fastifyStep(payments, '/charge', { do: … }))`. A body that Fastify refuses is
 * answered in the wire form too.
 * @throws ConfigError for a step that cannot be served
 */
export function fastifyStep<Input>(
  participant: Participant,
  url: string,
  step: HttpStep<Input>,
): FastifyStepRoute {
  checkArguments('fastifyStep', isText('url', url))
  checkHttpStep(participant, step)
  return {
    method: 'POST',
    url,
    bodyLimit: step.limitBytes ?? BODY_LIMIT_BYTES,
    async handler(request, reply) {
      const answer = await answerStep(participant, step, {
        method: request.method,
        header: (name) => {
          const value = request.headers[name]
          return Array.isArray(value) ? value[0] : value
        },
        body: { json: request.body ?? null },
      })
      await send(reply, answer)
    },
    errorHandler(error, _request, reply) {
      void send(reply, answerError(invalidBody(error), step.log))
    },
  }
}

function send(reply: FastifyReplyLike, { status, headers, body }: StepAnswer): unknown {
  reply.code(status)
  reply.headers(headers)
  return reply.send(body)
}
