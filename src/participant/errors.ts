import { HoldfastError } from '../core/errors.ts'
import { checkArguments, checkOptions, isBoolean, isName, isObject, isText } from '../core/options.ts'

/** What a refusal says beside its reason: small, and JSON. */
export type RefusalDetails = Readonly<Record<string, unknown>>

/**
 * The business says no: not enough money, sold out. Throw it from the work of a step to tell a refusal from a fault.
 * Nothing of the step was applied, and trying again will not help: the saga goes back.
 */
export class StepRefusedError extends HoldfastError {
  static {
    this.prototype.name = 'StepRefusedError'
  }
  readonly code = 'STEP_REFUSED'
  readonly outcome = 'not-applied'
  /** A word for programs: `no_money`. */
  readonly reason: string
  readonly details: RefusalDetails | undefined
  /** True when the participant had refused before and only repeats it. */
  readonly repeated: boolean

  constructor(
    reason: string,
    options: { details?: RefusalDetails; message?: string; repeated?: boolean } = {},
  ) {
    checkArguments('StepRefusedError', isName('the reason', reason), isObject('options', options))
    const { message, details, repeated } = options
    checkOptions(
      'StepRefusedError',
      options,
      ['message', 'details', 'repeated'],
      [
        message === undefined || isText('message', message),
        details === undefined || isObject('details', details),
        repeated === undefined || isBoolean('repeated', repeated),
      ],
    )
    super(options.message ?? `the step was refused: ${reason}`)
    this.reason = reason
    this.details = options.details
    this.repeated = options.repeated ?? false
  }
}

/** The step was undone (or its try cancelled), possibly before it had ever come; it is too late for it now. */
export class StepUndoneError extends HoldfastError {
  static {
    this.prototype.name = 'StepUndoneError'
  }
  readonly code = 'STEP_UNDONE'
  readonly outcome = 'not-applied'

  constructor(what: string) {
    super(`${what}: it was undone or cancelled before`)
  }
}

/** A try that is confirmed cannot be cancelled. */
export class StepConfirmedError extends HoldfastError {
  static {
    this.prototype.name = 'StepConfirmedError'
  }
  readonly code = 'STEP_CONFIRMED'
  readonly outcome = 'not-applied'

  constructor(what: string) {
    super(`${what}: it was confirmed before`)
  }
}

/** There is no try to confirm: it never came, was refused, or came longer ago than the window. */
export class StepNotTriedError extends HoldfastError {
  static {
    this.prototype.name = 'StepNotTriedError'
  }
  readonly code = 'STEP_NOT_TRIED'
  readonly outcome = 'not-applied'

  constructor(what: string) {
    super(`${what}: no try is recorded`)
  }
}
