import type { Io } from './io.ts'

/** What every command of `holdfast` ends with. Documented in docs/reference/cli.md; never renumbered. */
export const EXIT = {
  ok: 0,
  /** The command ran and found problems, or failed. */
  problem: 1,
  /** The store cannot be reached, or it is unknown whether the change was made. */
  unreachable: 2,
  /** The command was not understood; nothing was tried. The number is EX_USAGE of sysexits.h. */
  usage: 64,
  /** What was given cannot be read. The number is EX_DATAERR of sysexits.h. */
  data: 65,
} as const

export interface OptionSpec {
  readonly type: 'string' | 'boolean'
  /** How the value is written in the help: `--older-than AGE`. Strings only. */
  readonly value?: string
  readonly summary: string
}

/** One line of the command table: everything that parsing, the help and the documentation need. */
export interface Command {
  /** One or two words: `status`, `dead-letters list`. */
  readonly name: string
  readonly summary: string
  /** More than the summary says, in sentences; lines are kept as they are. */
  readonly description?: string
  /** The last line of its help, where the codes mean more than they do everywhere. */
  readonly exitCodes?: string
  /** Names of what follows the command; a trailing `?` marks one that may be left out, `...?` any number. */
  readonly positionals?: readonly string[]
  readonly options: Readonly<Record<string, OptionSpec>>
  readonly examples: readonly Example[]
  run(given: Given): Promise<Report>
}

/** A command that reads its own arguments, `--help` included. */
export interface ForeignCommand {
  readonly name: string
  readonly summary: string
  runForeign(argv: readonly string[], io: Io): Promise<number>
}

interface Example {
  readonly line: string
  readonly does: string
}

/** What the user gave, checked against the command's own table. */
export interface Given {
  readonly values: Readonly<Record<string, string | boolean | undefined>>
  readonly positionals: readonly string[]
  readonly io: Io
}

/** What a command found. `text` is for people, `data` is what `--json` prints; only one of them is shown. */
export interface Report {
  readonly exitCode: number
  readonly text: string
  readonly data: unknown
}

export function textValue(given: Given, name: string): string | undefined {
  const value = given.values[name]
  return typeof value === 'string' ? value : undefined
}

export function flag(given: Given, name: string): boolean {
  return given.values[name] === true
}
