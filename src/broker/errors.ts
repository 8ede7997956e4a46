import { HoldfastError } from '../core/errors.ts'

/** The broker could not be reached and nothing was sent. Messages stay in the outbox and are tried again. */
export class BrokerUnavailableError extends HoldfastError {
  static {
    this.prototype.name = 'BrokerUnavailableError'
  }
  readonly code = 'BROKER_UNAVAILABLE'
  readonly outcome = 'not-applied'

  constructor(broker: string, options?: ErrorOptions) {
    super(`the broker ${broker} cannot be reached; the relay keeps trying`, options)
  }
}

/** The broker will never take this message as it is: too large, not text, no queue for it. */
export class MessageRefusedError extends HoldfastError {
  static {
    this.prototype.name = 'MessageRefusedError'
  }
  readonly code = 'MESSAGE_REFUSED'
  readonly outcome = 'not-applied'

  constructor(broker: string, reason: string, options?: ErrorOptions) {
    super(`${broker} refuses the message: ${reason}`, options)
  }
}

/** The message was not sent, because an earlier one of its key was not stored. */
export class MessageNotSentError extends HoldfastError {
  static {
    this.prototype.name = 'MessageNotSentError'
  }
  readonly code = 'MESSAGE_NOT_SENT'
  readonly outcome = 'not-applied'

  constructor(options?: ErrorOptions) {
    super('not sent, since an earlier message of the key was not stored', options)
  }
}
