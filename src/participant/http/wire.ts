/** The wire form of a step over HTTP (docs/reference/participants.md). Pure. */
import { HoldfastError, isHoldfastError } from '../../core/errors.ts'
import { checkArguments, optionsOf } from '../../core/options.ts'
import { SAGA_MAX, STEP_MAX, STEP_PHASES, type StepCall, type StepPhase, stepChecks } from '../step.ts'

export const STEP_HEADERS = {
  saga: 'holdfast-saga',
  step: 'holdfast-step',
  phase: 'holdfast-phase',
  epoch: 'holdfast-epoch',
  repeated: 'holdfast-repeated',
} as const

/** The body of an answer that is not 200. */
export interface StepErrorBody {
  readonly error: {
    readonly code: string
    readonly message: string
    /** With STEP_REFUSED. */
    readonly reason?: string
    readonly details?: unknown
    /** With STALE_EPOCH: the epoch that was seen, in decimal. */
    readonly currentEpoch?: string
    /** With STEP_INVALID, where a field does not fit. */
    readonly issues?: readonly { readonly path: string; readonly message: string }[]
  }
}

/** The request cannot be understood, so repeating it does not help. */
export class StepInvalidError extends HoldfastError {
  static {
    this.prototype.name = 'StepInvalidError'
  }
  readonly code = 'STEP_INVALID'
  readonly outcome = 'not-applied'
  readonly status: number

  constructor(message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.status = options.status ?? 400
  }
}

/** The headers that name a call, for a client. */
export function stepHeaders(call: StepCall): Record<string, string> {
  const { saga, step, phase, epoch } = optionsOf('stepHeaders', call)
  checkArguments('stepHeaders', ...stepChecks(call))
  return {
    [STEP_HEADERS.saga]: encodeHeader(saga),
    [STEP_HEADERS.step]: encodeHeader(step),
    [STEP_HEADERS.phase]: phase,
    [STEP_HEADERS.epoch]: epoch.toString(),
  }
}

/** @throws StepInvalidError naming the header */
export function readStepHeaders(header: (name: string) => string | undefined): StepCall {
  const phase = required(header, STEP_HEADERS.phase)
  if (!STEP_PHASES.includes(phase as StepPhase)) {
    throw new StepInvalidError(`${STEP_HEADERS.phase} must be one of ${STEP_PHASES.join(', ')}`)
  }
  const epoch = required(header, STEP_HEADERS.epoch)
  if (!/^\d{1,19}$/.test(epoch) || BigInt(epoch) >= 2n ** 63n) {
    throw new StepInvalidError(`${STEP_HEADERS.epoch} must be a whole number from 0 to 2^63 - 1`)
  }
  return {
    saga: readName(header, STEP_HEADERS.saga, SAGA_MAX),
    step: readName(header, STEP_HEADERS.step, STEP_MAX),
    phase: phase as StepPhase,
    epoch: BigInt(epoch),
  }
}

function readName(header: (name: string) => string | undefined, name: string, lengthMax: number): string {
  const text = decodeHeader(name, required(header, name))
  if (text.length > lengthMax) throw new StepInvalidError(`${name} has more than ${lengthMax} characters`)
  if (text.includes('\0') || !text.isWellFormed())
    throw new StepInvalidError(`${name} holds a character that cannot be stored`)
  return text
}

function required(header: (name: string) => string | undefined, name: string): string {
  const value = header(name)
  if (value === undefined || value === '') throw new StepInvalidError(`the header ${name} is missing`)
  return value
}

/** Visible ASCII stays as it is, but for `%`. */
function encodeHeader(text: string): string {
  return text.replaceAll(/[^\x21-\x24\x26-\x7e]+/gu, encodeURIComponent)
}

function decodeHeader(name: string, text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new StepInvalidError(`${name} is not percent-encoded as it should be`, { cause })
  }
}

const BUSY: ReadonlySet<string> = new Set([
  'SERIALIZATION_FAILURE',
  'DEADLOCK',
  'STORE_BUSY',
  'ROW_LOCKED',
  'LOCK_TIMEOUT',
  'TRANSACTION_TIMEOUT',
  'STORE_UNAVAILABLE',
  'STORE_CLOSED',
  'COMMIT_UNKNOWN',
])

const GONE: ReadonlySet<string> = new Set(['STEP_UNDONE', 'STEP_CONFIRMED', 'STEP_NOT_TRIED'])

/** The answer that stands for an error. What a fault says is not told to the caller, since it may hold data. */
export function answerOfError(error: unknown): {
  readonly status: number
  readonly body: StepErrorBody
  readonly retryAfterS?: number
} {
  if (!isHoldfastError(error)) return fault()
  const { code, message } = error
  const e = error as HoldfastError & {
    readonly reason?: string
    readonly details?: unknown
    readonly current?: bigint
    readonly status?: number
    readonly issues?: NonNullable<StepErrorBody['error']['issues']>
  }
  if (code === 'STEP_REFUSED') {
    const { reason = 'refused', details } = e
    return {
      status: 409,
      body: { error: { code, message, reason, ...(details === undefined ? {} : { details }) } },
    }
  }
  if (GONE.has(code)) return { status: 410, body: { error: { code, message } } }
  if (code === 'STALE_EPOCH') {
    const { current } = e
    return {
      status: 412,
      body: { error: { code, message, ...(current === undefined ? {} : { currentEpoch: `${current}` }) } },
    }
  }
  if (code === 'STEP_INVALID') {
    const { issues } = e
    return { status: e.status ?? 400, body: { error: { code, message, ...(issues && { issues }) } } }
  }
  if (BUSY.has(code)) {
    return {
      status: 503,
      body: {
        error: {
          code: 'STEP_BUSY',
          message: 'try again: it may have run, and running it again does no harm',
        },
      },
      retryAfterS: 1,
    }
  }
  return fault()
}

function fault(): { readonly status: number; readonly body: StepErrorBody } {
  return {
    status: 500,
    body: { error: { code: 'STEP_FAILED', message: 'the step failed; nothing of it was applied' } },
  }
}
