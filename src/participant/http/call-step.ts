import { anySignal, throwIfAborted } from '../../core/abort.ts'
import { systemClock } from '../../core/clock.ts'
import { HoldfastError } from '../../core/errors.ts'
import { encodeJson } from '../../core/json.ts'
import {
  checkArguments,
  checkOptions,
  isCount,
  isDuration,
  isObject,
  isSchema,
  isUrl,
} from '../../core/options.ts'
import { checkSchema, type StandardSchemaV1 } from '../../core/standard-schema.ts'
import { StaleEpochError } from '../../effects/index.ts'
import {
  type RefusalDetails,
  StepConfirmedError,
  StepNotTriedError,
  StepRefusedError,
  StepUndoneError,
} from '../errors.ts'
import type { StepOutcome } from '../participant.ts'
import { nameOf, type StepCall, stepChecks } from '../step.ts'
import { retryAfterMs } from './retry-after.ts'
import { STEP_HEADERS, type StepErrorBody, StepInvalidError, stepHeaders } from './wire.ts'

/** No usable answer came: it is not known whether the step ran. Calling it again does no harm. */
export class StepUnansweredError extends HoldfastError {
  static {
    this.prototype.name = 'StepUnansweredError'
  }
  readonly code = 'STEP_UNANSWERED'
  readonly outcome = 'unknown'
  readonly status: number | undefined
  /** What the participant asks to wait; undefined when it does not say. */
  readonly retryAfterMs: number | undefined

  constructor(
    message: string,
    options: { status?: number | undefined; retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.status = options.status
    this.retryAfterMs = options.retryAfterMs
  }
}

/** The participant says that the step ran, and its answer does not fit: it is no JSON, or lacks a field. */
export class StepAnswerError extends HoldfastError {
  static {
    this.prototype.name = 'StepAnswerError'
  }
  readonly code = 'STEP_ANSWER_INVALID'
  readonly outcome = 'applied'
}

export interface CallStepOptions<Result> extends StepCall {
  /** Sent as JSON. Default null. */
  readonly input?: unknown
  /** Checks the result, and gives it its type. */
  readonly schema?: StandardSchemaV1<unknown, Result>
  readonly signal?: AbortSignal
  /** Bound of the whole call. Default 30 000. */
  readonly timeoutMs?: number
  /** Sent as well: authorization, tracing. */
  readonly headers?: Readonly<Record<string, string>>
  readonly fetch?: typeof fetch
  /** The largest answer that is read. Default 2 000 000. */
  readonly limitBytes?: number
}

/**
 * Calls one phase of a step at a URL. One attempt; repeat it as you like with the same call.
 *
 * @throws StepRefusedError, StepUndoneError, StepConfirmedError, StepNotTriedError, StaleEpochError, StepInvalidError as
 * the participant says; StepUnansweredError, outcome `unknown`, for no answer or a 5xx; StepAnswerError, outcome
 * `applied`, for a result that does not fit; the signal's reason when it was aborted before the call was sent
 */
export async function callStep<Result = unknown>(
  url: string | URL,
  options: CallStepOptions<Result>,
): Promise<StepOutcome<Result>> {
  checkArguments('callStep', isUrl('url', url), isObject('options', options))
  const {
    input = null,
    schema,
    signal,
    timeoutMs = 30_000,
    headers,
    limitBytes = 2_000_000,
    ...call
  } = options
  const { fetch: send = globalThis.fetch, saga, step, phase, epoch } = call
  checkOptions(
    'callStep',
    options,
    [
      'saga',
      'step',
      'phase',
      'epoch',
      'input',
      'schema',
      'signal',
      'timeoutMs',
      'headers',
      'fetch',
      'limitBytes',
    ],
    [
      ...stepChecks(call),
      schema === undefined || isSchema('schema', schema),
      isDuration('timeoutMs', timeoutMs),
      isCount('limitBytes', limitBytes, 1, 1_000_000_000),
    ],
  )
  const what = nameOf({ saga, step, phase, epoch })
  const body = encodeJson(`input of ${what}`, input, 100_000_000)
  throwIfAborted(signal)
  let response: Response
  let text: string
  try {
    response = await send(url, {
      method: 'POST',
      headers: {
        ...headers,
        ...stepHeaders(call),
        'content-type': 'application/json',
        accept: 'application/json',
      },
      body,
      redirect: 'error',
      signal: anySignal(signal, AbortSignal.timeout(timeoutMs)) as AbortSignal,
    })
    text = await readText(response, limitBytes)
  } catch (cause) {
    throw new StepUnansweredError(`${what}: no answer`, { cause })
  }
  const parsed = parse(text)
  if (response.status !== 200)
    throw errorOf(what, call, response, parsed as Partial<StepErrorBody> | undefined)
  if (typeof parsed !== 'object' || parsed === null || !('result' in parsed))
    throw new StepAnswerError(`${what}: the answer has no "result"`)
  const repeated = response.headers.get(STEP_HEADERS.repeated) === 'true'
  const result = (parsed.result ?? undefined) as Result | undefined
  if (schema === undefined || (phase !== 'do' && phase !== 'try'))
    return { kind: repeated ? 'repeated' : 'done', result }
  try {
    return {
      kind: repeated ? 'repeated' : 'done',
      result: await checkSchema(`result of ${what}`, schema, parsed.result),
    }
  } catch (cause) {
    throw new StepAnswerError(`${what}: the result does not fit: ${(cause as Error).message}`, { cause })
  }
}

async function readText(response: Response, limitBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength
    if (bytes > limitBytes) throw new Error(`the answer has more than ${limitBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The status decides what may be done next; the code says more where it is known. */
function errorOf(
  what: string,
  call: StepCall,
  response: Response,
  body: Partial<StepErrorBody> | undefined,
): HoldfastError {
  const { status } = response
  const error = typeof body?.error === 'object' && body.error !== null ? body.error : undefined
  if (status === 409 && error?.code === 'STEP_REFUSED') {
    const { reason, message, details } = error
    return new StepRefusedError(typeof reason === 'string' ? reason : 'refused', {
      message: `${what}: ${message}`,
      ...(typeof details === 'object' && details !== null ? { details: details as RefusalDetails } : {}),
    })
  }
  if (status === 410) {
    if (error?.code === 'STEP_CONFIRMED') return new StepConfirmedError(what)
    if (error?.code === 'STEP_NOT_TRIED') return new StepNotTriedError(what)
    if (error?.code === 'STEP_UNDONE') return new StepUndoneError(what)
  }
  if (status === 412 && error?.code === 'STALE_EPOCH') {
    const { currentEpoch } = error
    const current = /^\d{1,19}$/.test(currentEpoch ?? '') ? BigInt(currentEpoch as string) : undefined
    return new StaleEpochError(what, { presented: call.epoch, current })
  }
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
    return new StepInvalidError(`${what}: ${error?.message ?? `the participant answered ${status}`}`, {
      status,
    })
  }
  return new StepUnansweredError(`${what}: the participant answered ${status}`, {
    status,
    retryAfterMs: retryAfterMs(response.headers, systemClock.now()),
  })
}
