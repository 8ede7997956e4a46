import { writeFileSync } from 'node:fs'
import { CliError } from './cli-error.ts'
import { EXIT } from './command.ts'

/** Writes what `--html OUT` asks for. @throws CliError */
export function writePage(path: string, html: string): void {
  try {
    writeFileSync(path, html)
  } catch (error) {
    throw new CliError(
      'HTML_UNWRITABLE',
      EXIT.unreachable,
      `${path} cannot be written: ${(error as Error).message}`,
    )
  }
}
