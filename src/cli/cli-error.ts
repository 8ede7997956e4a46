import { EXIT } from './command.ts'

/** A failure that the command line explains itself: one sentence, with the remedy. */
export class CliError extends Error {
  static {
    this.prototype.name = 'CliError'
  }
  readonly exitCode: number
  readonly code: string
  /** Where in the user's files it comes from, a line each; empty where that says nothing. */
  readonly frames: readonly string[]

  constructor(
    code: string,
    exitCode: number,
    message: string,
    { frames = [], ...options }: ErrorOptions & { readonly frames?: readonly string[] } = {},
  ) {
    super(message, options)
    this.code = code
    this.exitCode = exitCode
    this.frames = frames
  }
}

/** The command line itself was wrong; nothing was tried. */
export function usageError(message: string, options?: ErrorOptions): CliError {
  return new CliError('USAGE', EXIT.usage, message, options)
}
