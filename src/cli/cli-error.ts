import { EXIT } from './command.ts'

/** A failure that the command line explains itself: one sentence, with the remedy. */
export class CliError extends Error {
  static {
    this.prototype.name = 'CliError'
  }
  readonly exitCode: number
  readonly code: string

  constructor(code: string, exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.exitCode = exitCode
  }
}

/** The command line itself was wrong; nothing was tried. */
export function usageError(message: string, options?: ErrorOptions): CliError {
  return new CliError('USAGE', EXIT.usage, message, options)
}
