/** A worker of the search: loads the race on its own database and runs the units that it is sent, one after another. */
import { reportError } from '../error-report.ts'
import { ScheduleDivergedError } from '../errors.ts'
import { remediesOf } from '../explore.ts'
import type { Ground } from '../ground.ts'
import { loadRace } from '../load-race.ts'
import { openGround } from '../open-ground.ts'
import { sameOutcome } from '../outcome.ts'
import { poolOf, type Race, type ResolvedOptions, resolveOptions } from '../race.ts'
import { ScheduleRunner } from '../schedule-runner.ts'
import { endWhereItSpins, watchLoading } from '../spin-watch.ts'
import { sqliteOf } from '../sqlite/handle.ts'
import type { SerialOutcome } from '../unit.ts'
import { standIn } from '../virtual.ts'
import type { FromWorker, Redirect, ToWorker, WorkerStart } from './protocol.ts'
import { type PgClientClass, redirectPg, redirectPgOf, refusedConnection } from './redirect-pg.ts'
import { checkLed, redirectSqlite } from './redirect-sqlite.ts'

interface Open {
  readonly race: Race
  readonly options: ResolvedOptions
  readonly ground: Ground
  readonly runner: ScheduleRunner
}

// Said to who waits for the answer, in place of it; the process never comes back to its event loop.
endWhereItSpins((error) => {
  process.send?.({ kind: 'failed', error: reportError(error) } satisfies FromWorker)
  process.exit(2)
})

let open: Open | undefined
let failed: unknown

// Ctrl-C reaches every process of the terminal; the one that was started ends the others when it has cleaned up.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
process.on('disconnect', () => process.exit(0))

let turn = Promise.resolve()
process.on('message', (message: ToWorker) => {
  turn = turn.then(async () => {
    const answer = await handle(message).catch((error: unknown): FromWorker => {
      failed ??= error
      return { kind: 'failed', error: reportError(error) }
    })
    if (answer !== undefined) tell(answer)
  })
})

async function handle(message: ToWorker): Promise<FromWorker | undefined> {
  if (message.kind === 'start') {
    open = await begin(message.start)
    return { kind: 'ready' }
  }
  if (open === undefined || failed !== undefined) throw failed
  const { race, options, ground, runner } = open
  switch (message.kind) {
    case 'run':
      return { kind: 'ran', ran: await unlessRefused(runner.run(message.unit)) }
    case 'know':
      runner.know(message.serial)
      await compare(runner, message.serial).catch((error: unknown) => {
        failed = error
      })
      return undefined
    case 'remedies':
      await ground.end()
      return { kind: 'remedies', remedies: await remediesOf(race, message.report, options) }
  }
}

async function begin({ module, race: name, options: given, redirect }: WorkerStart): Promise<Open> {
  // As the command does, for what the file takes of timers, clock and chance when it is loaded.
  standIn()
  if (redirect.kind === 'pg') redirectPgOf(module, redirect)
  // It throws where the set-up opens the file; what a task opens, it opens in its thread.
  else redirectSqlite(redirect, module, () => {})
  const race = led(await watchLoading(module, () => loadRace(module, name), given.spinMs), module, redirect)
  const options = resolveOptions({ ...race.definition.options, ...given })
  const ground = await unlessRefused(openGround(race, options))
  const runner = await unlessRefused(ScheduleRunner.open(race, options, ground))
  return { race, options, ground, runner }
}

/** A task may take a refused connection for an answer, in every order alike: that is no clean race. */
async function unlessRefused<T>(work: Promise<T>): Promise<T> {
  const ended = await work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  const refused = refusedConnection()
  if (refused !== undefined) throw refused
  if ('error' in ended) throw ended.error
  return ended.value
}

/** The race on the worker's own database. @throws RaceCloneError where it is not */
function led(race: Race, module: string, redirect: Redirect): Race {
  const here = { ...race, definition: { ...race.definition, module } }
  if (redirect.kind === 'pg') {
    redirectPg(poolOf(here).Client as unknown as PgClientClass, redirect)
    return here
  }
  const { store } = race.definition
  const copied =
    typeof store === 'object'
      ? here
      : { ...here, definition: { ...here.definition, store: `sqlite:${redirect.to}` } }
  const sqlite = sqliteOf(copied)?.open()
  if (sqlite === undefined) return copied
  try {
    checkLed(sqlite.handle, redirect)
  } finally {
    sqlite.close()
  }
  return copied
}

/** Code that tells databases apart, by their names for example, would show races that are none. */
async function compare(runner: ScheduleRunner, [first]: readonly SerialOutcome[]): Promise<void> {
  if (first === undefined) return
  const { outcome } = await runner.run({ kind: 'serial', order: first.order })
  if (sameOutcome(outcome, first.outcome)) return
  throw new ScheduleDivergedError(
    0,
    'a serial order ends otherwise in another clone of the database: the tasks or setup depend on more than what the database holds',
  )
}

/** Rows may hold what only this process knows, such as the values of a type parser. Who asked may be gone. */
function tell(answer: FromWorker): void {
  try {
    process.send?.(answer, () => {})
  } catch {
    const plain = JSON.stringify(answer, (_, value) => (typeof value === 'bigint' ? `${value}` : value))
    process.send?.(JSON.parse(plain), () => {})
  }
}
