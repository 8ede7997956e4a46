import { HoldfastError } from '../../core/index.ts'

/** The file is not in PostgreSQL's isolation test language, or a name in it leads nowhere. Nothing was run. */
export class SpecMalformedError extends HoldfastError {
  static {
    this.prototype.name = 'SpecMalformedError'
  }
  readonly code = 'RACE_SPEC_MALFORMED'
  readonly outcome = 'not-applied'
}

/** A run of a spec was given up: its setup failed, a step did not end, or a connection was lost. */
export class SpecFailedError extends HoldfastError {
  static {
    this.prototype.name = 'SpecFailedError'
  }
  readonly code = 'RACE_SPEC_FAILED'
  readonly outcome = 'unknown'
}
