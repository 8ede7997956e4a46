import type { Participant } from '../participant.ts'
import { answerStep, checkHttpStep, type HttpStep } from './answer-step.ts'

/** The part of Hono's context that is read. */
export interface HonoContextLike {
  readonly req: {
    readonly method: string
    header(name: string): string | undefined
    text(): Promise<string>
  }
}

/**
 * A step as a handler for Hono: `app.post('/charge', honoStep(payments, { do: … }))`.
 * @throws ConfigError for a step that cannot be served
 */
export function honoStep<Input>(
  participant: Participant,
  step: HttpStep<Input>,
): (context: HonoContextLike) => Promise<Response> {
  checkHttpStep(participant, step)
  return async ({ req }) => {
    const { status, headers, body } = await answerStep(participant, step, {
      method: req.method,
      header: (name) => req.header(name),
      body: { text: await req.text() },
    })
    return new Response(body, { status, headers })
  }
}
