import { HoldfastError } from '../core/errors.ts'

/** The state of a counter cannot be trusted or kept: its content, its age, or the disk it is on. No id was handed out. */
export class IdStateError extends HoldfastError {
  static {
    this.prototype.name = 'IdStateError'
  }
  readonly code = 'ID_STATE_INVALID'
  readonly outcome = 'not-applied'
  /** The file, or the key in Redis or etcd. */
  readonly path: string

  constructor(
    path: string,
    problem: string,
    options: ErrorOptions & { readonly kind?: 'file' | 'key' } = {},
  ) {
    super(`id state ${options.kind ?? 'file'} ${JSON.stringify(path)}: ${problem}`, options)
    this.path = path
  }
}

/** Redis or etcd did not answer, or not as a counter. No id was handed out; a block may have been reserved, and is left unused. */
export class IdCounterError extends HoldfastError {
  static {
    this.prototype.name = 'IdCounterError'
  }
  readonly code = 'ID_COUNTER_UNAVAILABLE'
  readonly outcome = 'not-applied'
}

/** Another generator that is alive has this state file, or every instance number is taken. */
export class IdInUseError extends HoldfastError {
  static {
    this.prototype.name = 'IdInUseError'
  }
  readonly code = 'ID_IN_USE'
  readonly outcome = 'not-applied'
}

/** The 2^48 sequence numbers of this instance are used up. Go on with another instance number. */
export class IdExhaustedError extends HoldfastError {
  static {
    this.prototype.name = 'IdExhaustedError'
  }
  readonly code = 'ID_EXHAUSTED'
  readonly outcome = 'not-applied'
}

/** The generator was closed, or it lost the lease on its instance number. No id was handed out. */
export class IdsStoppedError extends HoldfastError {
  static {
    this.prototype.name = 'IdsStoppedError'
  }
  readonly code = 'IDS_STOPPED'
  readonly outcome = 'not-applied'
}
