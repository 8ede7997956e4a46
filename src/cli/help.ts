import type { Command, ForeignCommand, OptionSpec } from './command.ts'
import { COMMON_OPTIONS } from './parse.ts'
import { alignColumns } from './text-table.ts'

const EXIT_CODES =
  'Exit codes: 0 ok, 1 problems found or failed, 2 store unreachable or outcome unknown, 64 usage.'

/** The list of commands, all of them or those of one group. */
export function overview(commands: readonly (Command | ForeignCommand)[], group?: string): string {
  const shown = commands.filter((c) => group === undefined || c.name.startsWith(`${group} `))
  return [
    group === undefined ? 'Usage: holdfast COMMAND [options]' : `Usage: holdfast ${group} COMMAND [options]`,
    '',
    ...indent(alignColumns(shown.map((c) => [c.name, c.summary]))),
    '',
    'Every command takes --help (with examples) and --json.',
    'The store comes from --store or from the environment variable HOLDFAST_STORE:',
    '  sqlite:PATH, or postgres://USER:PASSWORD@HOST/DATABASE',
    EXIT_CODES,
    '',
  ].join('\n')
}

export function commandHelp(command: Command): string {
  const positionals = (command.positionals ?? []).map((name) =>
    name.endsWith('?') ? `[${name.slice(0, -1)}]` : name,
  )
  const usage = ['holdfast', command.name, ...positionals, '[options]'].join(' ')
  const options = Object.entries({ ...command.options, ...COMMON_OPTIONS })
  return [
    `Usage: ${usage}`,
    '',
    command.summary,
    ...(command.description === undefined ? [] : ['', command.description]),
    '',
    'Options:',
    ...indent(alignColumns(options.map(([name, spec]) => [spelling(name, spec), spec.summary]))),
    '',
    'Examples:',
    ...command.examples.flatMap(({ line, does }) => [`  # ${does}`, `  ${line}`]),
    '',
    command.exitCodes ?? EXIT_CODES,
    '',
  ].join('\n')
}

function spelling(name: string, { value }: OptionSpec): string {
  return value === undefined ? `--${name}` : `--${name} ${value}`
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`)
}
