/** Imports a module of the user's as it is: JavaScript or TypeScript, ES modules or CommonJS. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { registerTsx } from '../core/register-tsx.ts'
import { messageOf, tame } from '../core/thrown.ts'
import { CliError, usageError } from './cli-error.ts'
import { EXIT } from './command.ts'
import { framesOf } from './frames.ts'

/** @throws CliError for a file that is missing, that throws when it is loaded, or is TypeScript that this Node does not run */
export async function importModule(file: string): Promise<Record<string, unknown>> {
  const path = resolve(file)
  if (!existsSync(path)) throw usageError(`there is no file ${path}`)
  if (/\.[cm]?ts$/.test(path)) await registerTypeScript(path)
  return importFile(path)
}

/**
 * `tsx` of the user's project where it is installed: it also runs what is more than types (enums, decorators) and packages
 * of "type": "commonjs". Else Node itself, which strips types from 22.18 on.
 */
async function registerTypeScript(path: string): Promise<void> {
  if ((await registerTsx(path)) || (process.features as { typescript?: unknown }).typescript) return
  throw unsupported(
    `this Node (${process.version}) does not run TypeScript: run "npm install --save-dev tsx", or use Node 22.18 or later`,
  )
}

/** Node strips types and does nothing else: what it cannot run, tsx can. */
async function importFile(path: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>
  } catch (thrown) {
    const cause = tame(thrown)
    const { code, message } = (cause ?? {}) as { code?: string; message?: string }
    if (code === 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX') {
      throw unsupported(
        `Node strips types only, and the file has more (${message}): run "npm install --save-dev tsx"`,
        cause,
      )
    }
    if (/\.ts$/.test(path) && message === 'Cannot use import statement outside a module') {
      throw unsupported(
        `the package of ${path} is "type": "commonjs", and the file uses import: run "npm install --save-dev tsx", or make it "type": "module"`,
        cause,
      )
    }
    throw new CliError(
      'MODULE_UNREADABLE',
      EXIT.unreachable,
      `${path} cannot be loaded: ${messageOf(cause)}`,
      {
        cause,
        frames: cause instanceof SyntaxError ? placeOfSyntax(path) : framesOf(cause),
      },
    )
  }
}

function unsupported(message: string, cause?: unknown): CliError {
  return new CliError('TYPESCRIPT_UNSUPPORTED', EXIT.unreachable, message, { cause })
}

/** The error does not say where it is; Node does when it prints one. Empty where the file is fine and one that it imports is not. */
function placeOfSyntax(path: string): string[] {
  const { stderr } = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8' })
  const [head = ''] = stderr.split('\n')
  return /:\d+$/.test(head) ? [`at ${head}`] : []
}
