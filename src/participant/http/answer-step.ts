import { isHoldfastError, PayloadError } from '../../core/errors.ts'
import { type Log, silentLog } from '../../core/log.ts'
import {
  checkArguments,
  checkOptions,
  hasMethods,
  isCount,
  isDuration,
  isFunction,
  isName,
  isObject,
  isSchema,
} from '../../core/options.ts'
import { checkSchema, type StandardSchemaV1 } from '../../core/standard-schema.ts'
import type { OwnTransaction } from '../../store/index.ts'
import type { Participant, StepContext } from '../participant.ts'
import { isForward, STEP_PHASES, type StepPhase } from '../step.ts'
import { answerOfError, readStepHeaders, STEP_HEADERS, StepInvalidError } from './wire.ts'

/** What runs for one phase: all its effects through `tx`. */
export type StepHandler<Input> = (tx: OwnTransaction, input: Input, context: StepContext) => Promise<unknown>

/**
 * One step as an HTTP endpoint. Give `do` and, where it can be undone, `undo`; or `try`, `confirm` and `cancel`.
 *
 * `undo`, `confirm` and `cancel` get the input unchecked: a call that must succeed in the end is not to fail on its form.
 */
export interface HttpStep<Input = unknown> {
  /** The only step that may come here. Default: any; the path is the name. */
  readonly step?: string
  /** Checks the input of `do` and `try`; an input that does not fit is STEP_INVALID. */
  readonly schema?: StandardSchemaV1<unknown, Input>
  readonly do?: StepHandler<Input>
  readonly undo?: StepHandler<unknown>
  readonly try?: StepHandler<Input>
  readonly confirm?: StepHandler<unknown>
  readonly cancel?: StepHandler<unknown>
  /** The largest body. Default 1 000 000. */
  readonly limitBytes?: number
  /** Bound of the transaction. Default 10 000. */
  readonly timeoutMs?: number
  /** Told of faults, which the caller sees only as STEP_FAILED. Default: silent. */
  readonly log?: Log
}

/** A request as every framework has it. `body`: the text, or what the framework made of its JSON; undefined when empty. */
export interface StepRequest {
  readonly method: string
  header(name: string): string | undefined
  readonly body: { readonly text: string } | { readonly json: unknown }
}

export interface StepAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export const BODY_LIMIT_BYTES = 1_000_000

/** @throws ConfigError for a step that cannot be served */
export function checkHttpStep<Input>(participant: Participant, step: HttpStep<Input>): void {
  checkArguments(
    'http step',
    hasMethods('participant', participant, 'what createParticipant gives', 'run', 'transaction'),
    isObject('step', step),
  )
  checkOptions(
    'http step',
    step,
    ['step', 'schema', ...STEP_PHASES, 'limitBytes', 'timeoutMs', 'log'],
    [
      ...STEP_PHASES.map((phase) => step[phase] === undefined || isFunction(phase, step[phase])),
      STEP_PHASES.some((phase) => typeof step[phase] === 'function') || 'give at least one of do, try',
      step.undo === undefined || step.do !== undefined || 'undo without do: there is nothing to undo',
      (step.try === undefined) === (step.confirm === undefined) || 'try and confirm belong together',
      (step.try === undefined) === (step.cancel === undefined) || 'try and cancel belong together',
      step.step === undefined || isName('step', step.step, 150),
      step.schema === undefined || isSchema('schema', step.schema),
      step.limitBytes === undefined || isCount('limitBytes', step.limitBytes, 1, 100_000_000),
      step.timeoutMs === undefined || isDuration('timeoutMs', step.timeoutMs),
    ],
  )
}

/**
 * Answers one call of a step: reads the headers, runs the phase behind the barrier, and says how it went in the wire form.
 * Never rejects.
 */
export async function answerStep<Input>(
  participant: Participant,
  step: HttpStep<Input>,
  request: StepRequest,
): Promise<StepAnswer> {
  try {
    const { kind, result } = await perform(participant, step, request)
    return json(200, { result: result ?? null }, kind === 'done' ? {} : { [STEP_HEADERS.repeated]: 'true' })
  } catch (error) {
    return answerError(error, step.log)
  }
}

/** Also for what a framework throws before a step is reached: a body too large, a body that is no JSON. */
export function answerError(error: unknown, log: Log = silentLog): StepAnswer {
  const { status, body, retryAfterS } = answerOfError(error)
  if (status >= 500) log.error('a step failed', { error })
  const headers: Record<string, string> = retryAfterS === undefined ? {} : { 'retry-after': `${retryAfterS}` }
  if (status === 405) headers.allow = 'POST'
  return json(status, body, headers)
}

async function perform<Input>(participant: Participant, step: HttpStep<Input>, request: StepRequest) {
  if (request.method !== 'POST') throw new StepInvalidError('a step is called by POST', { status: 405 })
  const call = readStepHeaders((name) => request.header(name))
  if (step.step !== undefined && step.step !== call.step) {
    throw new StepInvalidError(`this is the step "${step.step}"`, { status: 404 })
  }
  const handler = step[call.phase]
  if (handler === undefined) {
    throw new StepInvalidError(`this step has no phase ${call.phase}`, { status: 404 })
  }
  const input = await readInput(step, call.phase, request)
  return participant.transaction(call, (tx, context) => handler(tx, input as Input, context), {
    timeoutMs: step.timeoutMs ?? 10_000,
  })
}

async function readInput<Input>(
  { schema, limitBytes = BODY_LIMIT_BYTES }: HttpStep<Input>,
  phase: StepPhase,
  { body, header }: StepRequest,
): Promise<unknown> {
  const value = 'json' in body ? body.json : parseText(body.text, header('content-type'), limitBytes)
  if (schema === undefined || !isForward(phase)) return value
  try {
    return await checkSchema('input of the step', schema, value)
  } catch (error) {
    if (!(error instanceof PayloadError)) throw error
    throw Object.assign(new StepInvalidError('the body does not fit', { cause: error }), {
      issues: error.issues,
    })
  }
}

function parseText(text: string, contentType: string | undefined, limitBytes: number): unknown {
  if (text === '') return null
  if (Buffer.byteLength(text) > limitBytes)
    throw new StepInvalidError(`the body has more than ${limitBytes} bytes`, { status: 413 })
  if (contentType !== undefined && !/^application\/(?:[\w.-]+\+)?json\b/i.test(contentType.trim()))
    throw new StepInvalidError('the body must be application/json', { status: 415 })
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new StepInvalidError('the body is no JSON', { cause })
  }
}

function json(status: number, body: unknown, headers: Readonly<Record<string, string>>): StepAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify(body),
  }
}

export function invalidBody(error: unknown): StepInvalidError {
  if (isHoldfastError(error)) return new StepInvalidError(error.message, { cause: error })
  const status = Number((error as { statusCode?: unknown; status?: unknown })?.statusCode)
  return new StepInvalidError('the body cannot be read', {
    status: status >= 400 && status < 500 ? status : 400,
    cause: error,
  })
}
