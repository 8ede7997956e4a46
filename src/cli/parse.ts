import { parseArgs } from 'node:util'
import { usageError } from './cli-error.ts'
import type { Command, ForeignCommand, OptionSpec } from './command.ts'
import { STORE_OPTIONS } from './open-store.ts'

/** Every command takes these. */
export const COMMON_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  json: { type: 'boolean', summary: 'print one JSON object on standard output' },
  verbose: { type: 'boolean', summary: 'show the stack of an error' },
  help: { type: 'boolean', summary: 'show this text' },
}

export type Parsed =
  | { readonly kind: 'version' }
  /** `group` is the first word of several commands, or undefined for all of them. */
  | { readonly kind: 'overview'; readonly group?: string; readonly asked: boolean }
  | { readonly kind: 'help'; readonly command: Command }
  | { readonly kind: 'foreign'; readonly command: ForeignCommand; readonly argv: readonly string[] }
  | {
      readonly kind: 'run'
      readonly command: Command
      readonly values: Readonly<Record<string, string | boolean | undefined>>
      readonly positionals: readonly string[]
    }

/**
 * Reads the command line against the command table. Pure.
 * @throws CliError with exit code 64
 */
export function parse(argv: readonly string[], commands: readonly (Command | ForeignCommand)[]): Parsed {
  argv = wordsFirst(argv, commands)
  const [first, second] = argv
  if (first === undefined) return { kind: 'overview', asked: false }
  if (first === '--version' || first === '-v') return { kind: 'version' }
  if (first === '--help' || first === '-h') return { kind: 'overview', asked: true }
  if (first === 'help') return parse([...argv.slice(1), '--help'], commands)

  const exact = commands.find((c) => c.name === first)
  if (exact !== undefined && 'runForeign' in exact) {
    return { kind: 'foreign', command: exact, argv: argv.slice(1) }
  }
  const group = commands.filter((c) => c.name.startsWith(`${first} `))
  const command = exact ?? group.find((c) => c.name.split(' ').every((word, i) => argv[i] === word))
  if (command === undefined && group.length > 0) {
    const asked = second === '--help' || second === '-h'
    if (second !== undefined && !asked) {
      throw usageError(
        `"${first}" has no command "${second}": choose ${list(group.map((c) => c.name.slice(first.length + 1)))}`,
      )
    }
    return { kind: 'overview', group: first, asked }
  }
  if (command === undefined || !('run' in command)) {
    const names = [...new Set(commands.map((c) => c.name.split(' ')[0] as string))]
    throw usageError(`there is no command "${first}": choose ${list(names)}, or run "holdfast --help"`)
  }
  return parseCommand(command, argv.slice(command.name.split(' ').length))
}

/** Options that many commands share may stand before its words, as in `holdfast --json sagas --store URL list`. */
function wordsFirst(
  argv: readonly string[],
  commands: readonly (Command | ForeignCommand)[],
): readonly string[] {
  const words: string[] = []
  const options: string[] = []
  let at = 0
  for (; at < argv.length; at += 1) {
    const arg = argv[at] as string
    const [name = '', value] = arg.startsWith('--') ? arg.slice(2).split('=', 2) : []
    if (Object.hasOwn(STORE_OPTIONS, name)) {
      const last = value === undefined ? at + 1 : at
      options.push(...argv.slice(at, last + 1))
      at = last
    } else if (name === 'json' || name === 'verbose') options.push(arg)
    else if (arg.startsWith('-') || !isWord([...words, arg].join(' '), commands)) break
    else words.push(arg)
  }
  return words.length === 0 ? argv : [...words, ...options, ...argv.slice(at)]
}

/** Whether a command is called so, or begins so. */
function isWord(text: string, commands: readonly (Command | ForeignCommand)[]): boolean {
  return commands.some(({ name }) => name === text || name.startsWith(`${text} `))
}

function parseCommand(command: Command, argv: readonly string[]): Parsed {
  const specs = { ...command.options, ...COMMON_OPTIONS }
  const help = `run "holdfast ${command.name} --help"`
  let parsed: ReturnType<typeof parseArgs>
  try {
    parsed = parseArgs({
      args: [...argv],
      strict: true,
      allowPositionals: true,
      options: {
        ...Object.fromEntries(Object.entries(specs).map(([name, { type }]) => [name, { type }])),
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw usageError(`${refused((error as Error).message)}: ${help}`, { cause: error })
  }
  const values = parsed.values as Record<string, string | boolean | undefined>
  if (values.help === true) return { kind: 'help', command }
  const names = command.positionals ?? []
  const required = names.filter((name) => !name.endsWith('?'))
  const { positionals } = parsed
  const many = names.at(-1)?.endsWith('...?') === true
  if (!many && positionals.length > names.length) {
    throw usageError(`"${positionals[names.length]}" is one argument too many: ${help}`)
  }
  const missing = required[positionals.length]
  if (missing !== undefined) throw usageError(`${missing} is missing: ${help}`)
  return { kind: 'run', command, values, positionals }
}

/** Node's own text goes on with advice of its own after the first sentence, and calls a value that begins with - ambiguous. */
function refused(message: string): string {
  const [, option] = /^Option '(?:-\w, )?--([\w-]+)(?: <value>)?' argument is ambiguous/.exec(message) ?? []
  if (option !== undefined)
    return `--${option} needs a value; one that begins with - is given as --${option}=-1`
  const [sentence = ''] = message.split(/[.\n]/)
  return `${sentence[0]?.toLowerCase() ?? ''}${sentence.slice(1)}`
}

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
}
