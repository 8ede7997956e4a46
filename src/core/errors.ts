/** What is known about a write when an error reaches the caller. */
export type Outcome = 'applied' | 'not-applied' | 'unknown'

/**
 * The base of every error Holdfast raises. Match `code`, which is stable, rather than the class or the text:
 * two copies of a package can meet in one process.
 */
export abstract class HoldfastError extends Error {
  abstract readonly code: string
  abstract readonly outcome: Outcome
  /** A second error met while cleaning up after this one. */
  suppressed?: unknown
}

/** True for errors of any copy of Holdfast; narrow further with `error.code`. */
export function isHoldfastError(error: unknown): error is HoldfastError {
  return (
    error instanceof Error &&
    typeof (error as Partial<HoldfastError>).code === 'string' &&
    ['applied', 'not-applied', 'unknown'].includes((error as Partial<HoldfastError>).outcome as string)
  )
}

/** Options that cannot work, all problems at once. Nothing was started. */
export class ConfigError extends HoldfastError {
  static {
    this.prototype.name = 'ConfigError'
  }
  readonly code = 'CONFIG_INVALID'
  readonly outcome = 'not-applied'
  readonly problems: readonly string[]

  constructor(subject: string, problems: readonly string[], options?: ErrorOptions) {
    super(`${subject}: ${problems.join('; ')}`, options)
    this.problems = problems
  }
}

/** This store, broker or kind of transaction cannot do what was asked. */
export class UnsupportedError extends HoldfastError {
  static {
    this.prototype.name = 'UnsupportedError'
  }
  readonly code = 'UNSUPPORTED'
  readonly outcome = 'not-applied'
}

/** One thing that does not fit. */
export interface PayloadIssue {
  /** Like `$.items[2].price`; `$` is the whole. */
  readonly path: string
  /** Never repeats the value. */
  readonly message: string
  /** The words of the schema's own library, where a schema refused the value. They may quote it; neither logs nor JSON show them. */
  readonly detail?: string
}

/** A value that Holdfast was asked to store or send does not fit, with the path of the offending field. */
export class PayloadError extends HoldfastError {
  static {
    this.prototype.name = 'PayloadError'
  }
  readonly code = 'PAYLOAD_INVALID'
  readonly outcome = 'not-applied'
  readonly issues: readonly PayloadIssue[]

  constructor(subject: string, issues: readonly PayloadIssue[], options?: ErrorOptions) {
    const told = issues.map(({ path, message }) => (path === '$' ? message : `${path}: ${message}`))
    super(`${subject}: ${told.join('; ')}`, options)
    this.issues = issues
  }
}

/** Errors that waiting does not mend: a person must put something right, so a background part ends with them. */
export function isForPeople(error: unknown): boolean {
  return isHoldfastError(error) && FOR_PEOPLE.has(error.code)
}

const FOR_PEOPLE: ReadonlySet<string> = new Set([
  'SCHEMA_REVISION',
  'CONFIG_INVALID',
  'UNSUPPORTED',
  'STORE_CLOSED',
])
