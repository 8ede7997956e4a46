/** Loads a race file as it is: JavaScript or TypeScript, ES modules or CommonJS. */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { Race } from '../../race/index.ts'
import { racesOf } from '../../race/races-of.ts'
import { CliError, usageError } from '../cli-error.ts'
import { EXIT } from '../command.ts'

/** @throws CliError for a file that is missing, exports no race or is TypeScript that this Node does not run */
export async function loadRaces(path: string): Promise<Race[]> {
  if (!existsSync(path)) throw usageError(`there is no file ${path}`)
  if (/\.[cm]?ts$/.test(path)) await registerTypeScript(path)
  const module = await importFile(path)
  const races = racesOf(module)
  if (races.length === 0) {
    throw usageError(`${path} must export default race(…) of holdfast/race, or an array of them`)
  }
  return races.map((race) => ({
    ...race,
    definition: { module: pathToFileURL(path), ...race.definition },
  }))
}

type TsxEntry = './esm/api' | './cjs/api'

interface TsxManifest {
  readonly exports: Readonly<Record<TsxEntry, { readonly import: { readonly default: string } }>>
}

/**
 * `tsx` of the user's project where it is installed: it also runs what is more than types (enums, decorators) and packages
 * of "type": "commonjs". Else Node itself, which strips types from 22.18 on.
 */
async function registerTypeScript(path: string): Promise<void> {
  let manifest: string
  try {
    manifest = createRequire(path).resolve('tsx/package.json')
  } catch (cause) {
    if ((process.features as { typescript?: unknown }).typescript) return
    throw unsupported(
      `this Node (${process.version}) does not run TypeScript: run "npm install --save-dev tsx", or use Node 22.18 or later`,
      cause,
    )
  }
  // Loaded as a module, since the face of tsx for require() looks for its loader in the wrong place.
  const { exports } = JSON.parse(readFileSync(manifest, 'utf8')) as TsxManifest
  // Both: a file is CommonJS where its package does not say "type": "module".
  for (const entry of ['./cjs/api', './esm/api'] as const) {
    const api = new URL(exports[entry].import.default, pathToFileURL(manifest))
    const { register } = (await import(api.href)) as { register(): unknown }
    register()
  }
}

/** Node strips types and does nothing else: what it cannot run, tsx can. */
async function importFile(path: string): Promise<{ default?: unknown }> {
  try {
    return (await import(pathToFileURL(path).href)) as { default?: unknown }
  } catch (cause) {
    const { code, message } = cause as { code?: string; message?: string }
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
    throw new CliError('MODULE_UNREADABLE', EXIT.problem, `${path} cannot be loaded: ${message}`, { cause })
  }
}

function unsupported(message: string, cause: unknown): CliError {
  return new CliError('TYPESCRIPT_UNSUPPORTED', EXIT.unreachable, message, { cause })
}
