import { HoldfastError, type Outcome } from '../core/errors.ts'

/** What is stored of an error: enough for a person, and for code that looks at `code`. */
export interface ErrorRecord {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly reason?: string
  readonly outcome?: Outcome
}

/** The saga ended without success; what it had done was given back. */
export class SagaFailedError extends HoldfastError {
  static {
    this.prototype.name = 'SagaFailedError'
  }
  readonly code = 'SAGA_FAILED'
  readonly outcome = 'not-applied'
  readonly sagaId: string
  readonly error: ErrorRecord

  constructor(sagaId: string, error: ErrorRecord) {
    super(`saga "${sagaId}" failed and was undone: ${error.message}`)
    this.sagaId = sagaId
    this.error = error
  }
}

/** The saga was cancelled, or ran out of its time; what it had done was, or is being, given back. */
export class SagaCancelledError extends HoldfastError {
  static {
    this.prototype.name = 'SagaCancelledError'
  }
  readonly code = 'SAGA_CANCELLED'
  readonly outcome = 'not-applied'
  readonly sagaId: string

  constructor(sagaId: string, why = 'it was cancelled') {
    super(why.startsWith('saga "') ? why : `saga "${sagaId}": ${why}`)
    this.sagaId = sagaId
  }
}

/** The saga cannot go on by itself, forwards or backwards: a person has to look. */
export class SagaStuckError extends HoldfastError {
  static {
    this.prototype.name = 'SagaStuckError'
  }
  readonly code = 'SAGA_STUCK'
  readonly outcome = 'unknown'
  readonly sagaId: string

  constructor(sagaId: string, reason: string) {
    super(`saga "${sagaId}" is stuck: ${reason}; see "holdfast sagas show"`)
    this.sagaId = sagaId
  }
}

/** No saga has this id, or it was purged. */
export class SagaNotFoundError extends HoldfastError {
  static {
    this.prototype.name = 'SagaNotFoundError'
  }
  readonly code = 'SAGA_NOT_FOUND'
  readonly outcome = 'not-applied'

  constructor(id: string) {
    super(`there is no saga "${id}"`)
  }
}

/** Another saga, or one with another input, was started under this id. */
export class SagaIdTakenError extends HoldfastError {
  static {
    this.prototype.name = 'SagaIdTakenError'
  }
  readonly code = 'SAGA_ID_TAKEN'
  readonly outcome = 'not-applied'

  constructor(id: string, why: string) {
    super(`saga id "${id}" is taken: ${why}`)
  }
}

/** What an operator asked for does not go with the state of the saga. */
export class SagaStateError extends HoldfastError {
  static {
    this.prototype.name = 'SagaStateError'
  }
  readonly code = 'SAGA_STATE'
  readonly outcome = 'not-applied'
}

/** The code no longer does what the journal says it did. The message shows both sides. */
export class SagaChangedError extends HoldfastError {
  static {
    this.prototype.name = 'SagaChangedError'
  }
  readonly code = 'SAGA_CHANGED'
  readonly outcome = 'not-applied'
  readonly recorded: string
  readonly called: string

  constructor(sagaId: string, place: string, recorded: string, called: string) {
    super(
      `the code of saga "${sagaId}" has changed under it at ${place}:\n- journal: ${recorded}\n+ code:    ${called}`,
    )
    this.recorded = recorded
    this.called = called
  }
}

/** The saga is past its pivot: nothing is undone any more, and the handle from before it cannot be used. */
export class PivotPassedError extends HoldfastError {
  static {
    this.prototype.name = 'PivotPassedError'
  }
  readonly code = 'PIVOT_PASSED'
  readonly outcome = 'not-applied'

  constructor(step: string) {
    super(`"${step}" was called on a handle from before the pivot; use the one that s.pivot returned`)
  }
}

/** A step took longer than its `timeoutMs`; whether its effect happened is not known. */
export class StepTimeoutError extends HoldfastError {
  static {
    this.prototype.name = 'StepTimeoutError'
  }
  readonly code = 'STEP_TIMEOUT'
  readonly outcome = 'unknown'

  constructor(what: string, timeoutMs: number) {
    super(`${what} gave no answer within ${timeoutMs} ms`)
  }
}

/** A wait for a signal, an event or a reply took longer than its `timeoutMs`. */
export class WaitTimeoutError extends HoldfastError {
  static {
    this.prototype.name = 'WaitTimeoutError'
  }
  readonly code = 'WAIT_TIMEOUT'
  readonly outcome = 'not-applied'

  constructor(what: string, timeoutMs: number) {
    super(`${what} did not come within ${timeoutMs} ms`)
  }
}

/** An error that was recorded in the journal, as the saga's code meets it when it is replayed. */
export class StepFailedError extends HoldfastError {
  static {
    this.prototype.name = 'StepFailedError'
  }
  readonly code = 'SAGA_STEP_FAILED'
  readonly outcome: Outcome
  readonly step: string
  readonly error: ErrorRecord

  constructor(step: string, error: ErrorRecord, options?: ErrorOptions) {
    super(`step "${step}" failed: ${error.message}`, options)
    this.step = step
    this.error = error
    this.outcome = error.outcome ?? 'unknown'
  }
}

/** Describes whatever was thrown, an Error or not. NUL has no place in a PostgreSQL text. */
export function describeThrown(thrown: unknown): ErrorRecord {
  const clean = (text: string): string => text.replaceAll('\0', '␀').toWellFormed().slice(0, 4_000)
  if (!(thrown instanceof Error)) {
    let text: string
    try {
      text = typeof thrown === 'string' ? thrown : (JSON.stringify(thrown) ?? String(thrown))
    } catch {
      text = 'a value that cannot be shown'
    }
    return { name: 'NoError', message: clean(`something that is no Error was thrown: ${text}`) }
  }
  const { code, outcome, reason } = thrown as { code?: unknown; outcome?: unknown; reason?: unknown }
  return {
    name: clean(String(thrown.name)),
    message: clean(String(thrown.message)),
    ...(typeof code === 'string' && { code: clean(code) }),
    ...(typeof reason === 'string' && { reason: clean(reason) }),
    ...(typeof outcome === 'string' &&
      ['applied', 'not-applied', 'unknown'].includes(outcome) && { outcome: outcome as Outcome }),
  }
}
