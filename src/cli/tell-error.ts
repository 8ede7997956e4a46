import { printable } from '../core/printable.ts'
import { CliError } from './cli-error.ts'
import { describeError } from './describe-error.ts'
import type { Io } from './io.ts'

/** Says what went wrong, and gives the exit code. */
export function tellError(
  error: unknown,
  { io, json, verbose }: { readonly io: Io; readonly json: boolean; readonly verbose: boolean },
): number {
  const { exitCode, code, outcome, message } = describeError(error)
  io.err(`holdfast: ${printable(message)}\n`)
  if (verbose) io.err(`${stacksOf(error)}\n`)
  else if (error instanceof CliError) for (const frame of error.frames) io.err(`    ${frame}\n`)
  if (json) io.out(toJson({ error: { code, outcome, message } }))
  return exitCode
}

/** Epochs and sequence numbers are text, since readers of JSON round beyond 2^53. */
export function toJson(data: unknown): string {
  return `${JSON.stringify(data, (_, value) => (typeof value === 'bigint' ? value.toString() : value))}\n`
}

function stacksOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stacksOf(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}
