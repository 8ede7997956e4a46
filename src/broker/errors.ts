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
