import { readFileSync } from 'node:fs'
import { type Command, EXIT, type ForeignCommand } from './command.ts'
import { commands } from './commands.ts'
import { commandHelp, overview } from './help.ts'
import type { Io } from './io.ts'
import { parse } from './parse.ts'
import { tellError, toJson } from './tell-error.ts'

/**
 * Runs one command line and gives its exit code. Never throws: what went wrong is one sentence on standard error, and
 * with `--json` also an object `{ error }` on standard output.
 */
export async function runCli(
  argv: readonly string[],
  io: Io,
  table: readonly (Command | ForeignCommand)[] = commands,
): Promise<number> {
  const json = argv.includes('--json')
  try {
    const parsed = parse(argv, table)
    switch (parsed.kind) {
      case 'version':
        io.out(`${version()}\n`)
        return EXIT.ok
      case 'overview':
        // Asked for, it is the answer; not asked for, it is a complaint.
        if (parsed.asked) io.out(overview(table, parsed.group))
        else io.err(overview(table, parsed.group))
        return parsed.asked ? EXIT.ok : EXIT.usage
      case 'help':
        io.out(commandHelp(parsed.command))
        return EXIT.ok
      case 'foreign':
        return await parsed.command.runForeign(parsed.argv, io)
      case 'run': {
        const { command, values, positionals } = parsed
        const { exitCode, text, data } = await command.run({ values, positionals, io })
        io.out(json ? toJson(data) : text)
        return exitCode
      }
    }
  } catch (error) {
    return tellError(error, { io, json, verbose: argv.includes('--verbose') })
  }
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
