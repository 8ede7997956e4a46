/** `holdfast race --spec FILE.spec`: PostgreSQL's isolation test language, with the tester's own output. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import {
  parseSpec,
  runSpec,
  type SpecClient,
  SpecFailedError,
  SpecMalformedError,
  type SpecRun,
} from '../../race/spec/index.ts'
import { CliError, usageError } from '../cli-error.ts'
import { EXIT, flag, type Given, type OptionSpec, type Report, textValue } from '../command.ts'
import type { Io } from '../io.ts'
import { loadPg, storeAddress } from '../open-store.ts'

/** What the tester does without PGISOLATIONTIMEOUT. */
const STEP_TIMEOUT_SECONDS = 300

/** What PostgreSQL's regression driver sets, and the expected outputs are written for. */
const REGRESSION_SETTINGS = [
  ['PGTZ', 'timezone', 'PST8PDT'],
  ['PGDATESTYLE', 'datestyle', 'Postgres, MDY'],
] as const
const REGRESSION_OPTIONS = '-c intervalstyle=postgres_verbose'

export const SPEC_OPTION: OptionSpec = {
  type: 'string',
  value: 'FILE.spec',
  summary: "run a file in PostgreSQL's isolation test language instead, as isolationtester does",
}

/** Runs the spec and prints while it runs; with `--json` the output is one field. */
export async function runSpecCommand(given: Given): Promise<Report> {
  const file = resolve(textValue(given, 'spec') as string)
  if (!existsSync(file)) throw usageError(`there is no file ${file}`)
  const address = storeAddress(given)
  if (address.kind !== 'postgres')
    throw usageError('--spec needs a store of PostgreSQL: --store postgres://…')
  const { Client } = await loadPg()
  const began = performance.now()
  let output = ''
  const asJson = flag(given, 'json')
  const to = (print: (text: string) => void) => (text: string) => {
    if (asJson) output += text
    else print(text)
  }
  const err = to(given.io.err)
  const answer = (exitCode: number, found: object): Report => {
    const seconds = (performance.now() - began) / 1000
    return { exitCode, text: '', data: { ok: exitCode === EXIT.ok, ...found, seconds, output } }
  }
  try {
    const run = await runSpecFile({
      file,
      client: (options) => new Client({ connectionString: address.url, ...options }),
      env: given.io.env,
      out: to(given.io.out),
      err,
    })
    return answer(EXIT.ok, run)
  } catch (error) {
    if (error instanceof SpecMalformedError)
      throw new CliError(error.code, EXIT.data, `${file}: ${error.message}`)
    if (!(error instanceof SpecFailedError)) throw error
    // Said as the tester says it, since its output is what the user compares.
    err(`${error.message}\n`)
    return answer(EXIT.problem, { reason: error.message })
  }
}

export interface SpecFile extends Pick<Io, 'env' | 'out' | 'err'> {
  readonly file: string
  client(options: { options: string }): SpecClient
}

/** @throws SpecMalformedError, SpecFailedError */
export async function runSpecFile({ file, client, env, out, err }: SpecFile): Promise<SpecRun> {
  const seconds = env.PGISOLATIONTIMEOUT ?? `${STEP_TIMEOUT_SECONDS}`
  if (!/^[1-9]\d{0,5}$/.test(seconds))
    throw usageError(`PGISOLATIONTIMEOUT must be whole seconds, got "${seconds}"`)
  const spec = parseSpec(readFileSync(file, 'utf8'))
  const options = [
    env.PGOPTIONS ?? REGRESSION_OPTIONS,
    ...REGRESSION_SETTINGS.map(
      ([name, setting, value]) => `-c ${setting}=${escapeBlanks(env[name] ?? value)}`,
    ),
  ].join(' ')
  return runSpec(spec, {
    client: () => client({ options }),
    applicationName: env.PGAPPNAME ?? `isolation/${basename(file, '.spec')}`,
    out,
    err,
    stepTimeoutMs: 1000 * Number(seconds),
  })
}

/** The server parts the options of a connection at blanks. */
function escapeBlanks(value: string): string {
  return value.replaceAll(/[\\ ]/g, (character) => `\\${character}`)
}
