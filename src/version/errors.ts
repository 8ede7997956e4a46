import { HoldfastError } from '../core/errors.ts'
import type { Version } from './version.ts'

/** The row was changed or removed since its version was read. Read it again, and decide again. */
export class VersionConflictError extends HoldfastError {
  static {
    this.prototype.name = 'VersionConflictError'
  }
  readonly code = 'VERSION_CONFLICT'
  readonly outcome = 'not-applied'
  readonly table: string
  readonly expected: Version
  /** The version the row has now; undefined when the row is gone. */
  readonly actual: Version | undefined

  constructor(table: string, versions: { expected: Version; actual: Version | undefined }) {
    const { expected, actual } = versions
    super(
      actual === undefined
        ? `the row of "${table}" with version ${expected} is gone`
        : `the row of "${table}" has version ${actual}, not ${expected}`,
    )
    this.table = table
    this.expected = expected
    this.actual = actual
  }
}

/** Both sides changed the same columns to different values, and nobody said which one stands. */
export class MergeConflictError extends HoldfastError {
  static {
    this.prototype.name = 'MergeConflictError'
  }
  readonly code = 'MERGE_CONFLICT'
  readonly outcome = 'not-applied'
  readonly columns: readonly string[]

  constructor(columns: readonly string[]) {
    super(`both sides changed ${columns.map((c) => `"${c}"`).join(', ')}`)
    this.columns = columns
  }
}

/** No row has that key. */
export class RowNotFoundError extends HoldfastError {
  static {
    this.prototype.name = 'RowNotFoundError'
  }
  readonly code = 'ROW_NOT_FOUND'
  readonly outcome = 'not-applied'
  readonly table: string

  constructor(table: string) {
    super(`no row of "${table}" has that key`)
    this.table = table
  }
}
