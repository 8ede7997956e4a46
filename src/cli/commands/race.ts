import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import {
  explore,
  type Race,
  type RaceOptions,
  type RaceReport,
  raceHtml,
  renderReport,
} from '../../race/index.ts'
import { poolOfStore } from '../../store/pool-of.ts'
import type { Store } from '../../store/store.ts'
import { CliError, usageError } from '../cli-error.ts'
import { type Command, EXIT, flag, type Given, type OptionSpec, textValue } from '../command.ts'
import { STORE_OPTIONS } from '../open-store.ts'
import { runSpecCommand, SPEC_OPTION } from '../race-spec.ts'
import { writePage } from '../write-page.ts'

export const raceCommand: Command = {
  name: 'race',
  summary: 'run your own functions in every interleaving, and show the one that breaks',
  description: [
    'FILE exports what `race(…)` of holdfast/race returns, as default or as an array. Use a database of its own:',
    '`setup` runs before every schedule. Ends with 1 when a race was found.',
  ].join('\n'),
  positionals: ['FILE?'],
  options: {
    seed: { type: 'string', value: 'N', summary: 'chooses the random schedules; default 1' },
    schedules: { type: 'string', value: 'N', summary: 'how many schedules at most; default 1000' },
    seconds: { type: 'string', value: 'N', summary: 'how many seconds at most; default 60' },
    replay: { type: 'string', value: 'SCHEDULE', summary: 'run this schedule only, as a finding printed it' },
    'no-remedies': { type: 'boolean', summary: 'do not try what removes a race that was found' },
    html: { type: 'string', value: 'OUT', summary: 'write the reports as one page' },
    spec: SPEC_OPTION,
    store: { ...STORE_OPTIONS.store, summary: 'for --spec: the database, postgres://…' } as OptionSpec,
  },
  examples: [
    { line: 'holdfast race withdraw.race.ts', does: 'search' },
    { line: 'holdfast race withdraw.race.ts --replay r1:ab2a', does: 'show that schedule again' },
    {
      line: 'holdfast race --spec deadlock.spec --store postgres://…',
      does: 'print what isolationtester prints',
    },
  ],

  async run(given) {
    const [file] = given.positionals
    if (textValue(given, 'spec') !== undefined) {
      if (file !== undefined) throw usageError('--spec names the file: leave FILE out')
      return runSpecCommand(given)
    }
    if (file === undefined) throw usageError('FILE is missing: run "holdfast race --help"')
    const races = await load(file)
    const options = optionsOf(given)
    if (options.replay !== undefined && races.length > 1) {
      throw usageError('--replay needs a file with one race')
    }
    const reports: RaceReport[] = []
    try {
      for (const race of races) reports.push(await explore(race, options))
    } finally {
      await Promise.all(races.map(end))
    }
    const html = textValue(given, 'html')
    if (html !== undefined) writePage(html, raceHtml(reports, { title: basename(file) }))
    return {
      exitCode: reports.every(({ ok }) => ok) ? EXIT.ok : EXIT.problem,
      text: `${reports.map((report) => renderReport(report)).join('\n')}${html === undefined ? '' : `\nwritten to ${html}\n`}`,
      data: { ok: reports.every(({ ok }) => ok), races: reports },
    }
  },
}

function optionsOf(given: Given): RaceOptions {
  const options: Record<string, number | string | boolean> = { remedies: !flag(given, 'no-remedies') }
  for (const name of ['seed', 'schedules', 'seconds']) {
    const text = textValue(given, name)
    if (text === undefined) continue
    if (!/^\d{1,9}$/.test(text)) throw usageError(`--${name} must be a whole number, got "${text}"`)
    options[name] = Number(text)
  }
  const replay = textValue(given, 'replay')
  return replay === undefined ? options : { ...options, replay }
}

async function load(file: string): Promise<Race[]> {
  const path = resolve(file)
  if (!existsSync(path)) throw usageError(`there is no file ${path}`)
  if (/\.[cm]?ts$/.test(path)) await registerTypeScript(path)
  const module = await importFile(path)
  // A file of a package without "type": "module" comes wrapped once more.
  const given = (module.default as { default?: unknown } | undefined)?.default ?? module.default
  const races = [given].flat() as (Race | undefined)[]
  if (races.length === 0 || races.some((race) => race?.definition?.tasks === undefined)) {
    throw usageError(`${path} must export default race(…) of holdfast/race, or an array of them`)
  }
  return races as Race[]
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
    throw cause
  }
}

function unsupported(message: string, cause: unknown): CliError {
  return new CliError('TYPESCRIPT_UNSUPPORTED', EXIT.unreachable, message, { cause })
}

/** The command is over: the pool that the file opened would keep the process waiting. */
async function end({ definition: { store } }: Race): Promise<void> {
  const pool = (store as { end?: () => Promise<void> }).end === undefined ? poolUnder(store) : store
  await (pool as { end?: () => Promise<void> } | undefined)?.end?.().catch(() => {})
}

function poolUnder(store: object): unknown {
  return poolOfStore.get(store as Store)
}
