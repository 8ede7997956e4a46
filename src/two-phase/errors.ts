import { HoldfastError } from '../core/errors.ts'

const WHY = {
  recovery: 'recovery had decided so before its coordinator came to decide',
  late: 'its time to decide had passed',
  lost: 'the log lost the connection before it had stored the decision',
} as const

/**
 * The transaction was decided to be aborted, by recovery or because its time to decide had passed, before its
 * coordinator could decide to commit. Nothing of it stands or will stand.
 */
export class TwoPhaseAbortedError extends HoldfastError {
  static {
    this.prototype.name = 'TwoPhaseAbortedError'
  }
  readonly code = 'TWO_PHASE_ABORTED'
  readonly outcome = 'not-applied'
  readonly id: string
  /** `recovery` had decided so; the time to decide had passed (`late`); the log lost the connection (`lost`). */
  readonly reason: 'recovery' | 'late' | 'lost'

  constructor(id: string, reason: TwoPhaseAbortedError['reason']) {
    super(`the two-phase transaction ${id} was aborted: ${WHY[reason]}`)
    this.id = id
    this.reason = reason
  }
}

/** The decision was sent to the log and no answer came, nor could it be asked for since. Recovery will settle it. */
export class TwoPhaseInDoubtError extends HoldfastError {
  static {
    this.prototype.name = 'TwoPhaseInDoubtError'
  }
  readonly code = 'TWO_PHASE_IN_DOUBT'
  readonly outcome = 'unknown'
  /** For `holdfast two-phase show`. */
  readonly id: string

  constructor(id: string, options: ErrorOptions) {
    super(
      `it is not known whether the two-phase transaction ${id} committed; recovery settles it once the log can be reached`,
      options,
    )
    this.id = id
  }
}

/** A store cannot take part, and the message says what to change. Nothing was begun. */
export class TwoPhaseSetupError extends HoldfastError {
  static {
    this.prototype.name = 'TwoPhaseSetupError'
  }
  readonly code = 'TWO_PHASE_SETUP'
  readonly outcome = 'not-applied'
  readonly problems: readonly string[]

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(problems.join('; '), options)
    this.problems = problems
  }
}
