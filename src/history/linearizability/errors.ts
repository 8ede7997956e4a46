import { HoldfastError } from '../../core/index.ts'

/** An operation that the model does not have. Nothing was checked. */
export class UnknownOperationError extends HoldfastError {
  static {
    this.prototype.name = 'UnknownOperationError'
  }
  readonly code = 'HISTORY_OPERATION'
  readonly outcome = 'not-applied'
  /** Line in the source, or the position where lines are not known. */
  readonly line: number

  constructor(
    f: string,
    model: { readonly name: string; readonly operations?: readonly string[] },
    line: number,
  ) {
    super(
      `line ${line}: the model ${model.name} has no operation "${f}" (it has ${model.operations?.join(', ')}); choose another with --model`,
    )
    this.line = line
  }
}
