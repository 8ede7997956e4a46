export type { ConformanceCheck } from './conformance/checks.ts'
export { conformanceChecks } from './conformance/checks.ts'
export { ConformanceClient } from './conformance/client.ts'
export { type CheckResult, checkParticipant } from './conformance/run-checks.ts'
export {
  type RefusalDetails,
  StepConfirmedError,
  StepNotTriedError,
  StepRefusedError,
  StepUndoneError,
} from './errors.ts'
export type { HttpStep, StepHandler } from './http/answer-step.ts'
export { type CallStepOptions, callStep, StepAnswerError, StepUnansweredError } from './http/call-step.ts'
export { expressStep } from './http/express.ts'
export { fastifyStep } from './http/fastify.ts'
export { honoStep } from './http/hono.ts'
export { stepErrorSchema, stepResultSchema } from './http/schemas.ts'
export { STEP_HEADERS, StepInvalidError, stepHeaders } from './http/wire.ts'
export {
  createParticipant,
  type Participant,
  type ParticipantOptions,
  type StepContext,
  type StepOutcome,
} from './participant.ts'
export { STEP_PHASES, type StepCall, type StepPhase } from './step.ts'
