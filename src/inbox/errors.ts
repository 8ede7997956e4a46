import { HoldfastError } from '../core/errors.ts'

/**
 * The message can never be handled: it is no JSON, does not fit the topic's schema, or the handler says so by throwing
 * this. A consumer makes it a dead letter at once, without retries.
 */
export class MessageInvalidError extends HoldfastError {
  static {
    this.prototype.name = 'MessageInvalidError'
  }
  readonly code = 'MESSAGE_INVALID'
  readonly outcome = 'not-applied'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
  }
}

/** `drainUntilIdle` reached its deadline while there was still work. The consumer goes on. */
export class DrainTimeoutError extends HoldfastError {
  static {
    this.prototype.name = 'DrainTimeoutError'
  }
  readonly code = 'DRAIN_TIMEOUT'
  readonly outcome = 'not-applied'
  readonly deadlineMs: number

  constructor(deadlineMs: number, state: string) {
    super(`the consumer was not idle within ${deadlineMs} ms: ${state}`)
    this.deadlineMs = deadlineMs
  }
}
