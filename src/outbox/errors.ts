import { HoldfastError } from '../core/errors.ts'

/** The reason with which a publish under way is ended when the relay stops. */
export class RelayStoppedError extends HoldfastError {
  static {
    this.prototype.name = 'RelayStoppedError'
  }
  readonly code = 'RELAY_STOPPED'
  readonly outcome = 'unknown'

  constructor() {
    super('the relay was stopped; what the broker has not stored stays in the outbox')
  }
}
