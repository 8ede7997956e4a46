import { HoldfastError } from '../../core/index.ts'

/** A history that cannot be read: the line (or the byte, or the index) and what is wrong there. Nothing was checked. */
export class MalformedHistoryError extends HoldfastError {
  static {
    this.prototype.name = 'MalformedHistoryError'
  }
  readonly code = 'HISTORY_MALFORMED'
  readonly outcome = 'not-applied'
  /** Line, from 1; for binary formats the byte, from 0. */
  readonly line: number
  readonly problem: string

  constructor(line: number, problem: string, unit = 'line') {
    super(`malformed history, ${unit} ${line}: ${problem}`)
    this.line = line
    this.problem = problem
  }
}
