/**
 * Random programs of sagas under kills, stops and duplicates, judged by the participants' tables. `HOLDFAST_SAGA_PROGRAMS`
 * says how many (20 without it), `HOLDFAST_SAGA_SEED` where to begin: a failure names the seed of its program.
 */
import { sql } from 'holdfast'
import { sagaOperations } from 'holdfast/saga'
import { seededRandom } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'
import { judge } from './audit.ts'
import { idOf, makeProgram, type Program, type ProgramStores, signalsOf, toSaga } from './program.ts'
import { isPostgres, openPrograms, type ProgramAddresses } from './program-stores.ts'
import { stores } from './stores.ts'

const PROCESS = new URL('./runner-process.ts', import.meta.url)
const PROGRAMS = Number(process.env.HOLDFAST_SAGA_PROGRAMS ?? 20)
const SEED = Number(process.env.HOLDFAST_SAGA_SEED ?? Math.floor(Math.random() * 1e9))
const PER_LIFE = 125

/** Where a process is killed, or stopped for longer than its leases. */
const FAILPOINTS = [
  'saga.journal.before',
  'saga.journal.after',
  'saga.step.before',
  'saga.step.after',
  'saga.step.recorded',
  'saga.turn',
  'saga.undone',
  'saga.claimed',
  'saga.takeover',
  'participant.recorded',
  'participant.worked',
  'store.commit.before',
  'store.commit.after',
]

/** Where there are steps over both stores. */
const TWO_PHASE_FAILPOINTS = [
  'two-phase.worked',
  'store.prepare.before',
  'store.prepare.after',
  'two-phase.prepared',
  'two-phase.deciding',
  'two-phase.decided',
  'two-phase.committing',
]

const [onSqlite, onPostgres] = stores as [(typeof stores)[number], (typeof stores)[number]]
/** The journal's store, and the one of other participants. Programs have steps over both where the other can prepare. */
const worlds = [
  { name: 'sqlite', own: onSqlite, other: onSqlite },
  { name: 'postgres', own: onPostgres, other: onPostgres },
  { name: 'sqlite, with participants on postgres', own: onSqlite, other: onPostgres },
]

describe.each(worlds)('random programs on $name', ({ own, other }) => {
  const twoPhase = other === onPostgres

  it(`${PROGRAMS} programs from seed ${SEED} have each effect once, whole or given back`, {
    timeout: 150_000 + PROGRAMS * 1_500,
  }, async () => {
    const random = seededRandom(SEED)
    for (let done = 0; done < PROGRAMS; done += PER_LIFE) {
      const programs = Array.from({ length: Math.min(PER_LIFE, PROGRAMS - done) }, (_, i) =>
        makeProgram(SEED + done + i, { twoPhase }),
      )
      await using first = await own.open()
      await using second = await other.open()
      for (const { store } of [first, second]) {
        await store.execute('create table calls (call_key text primary key)')
        await store.execute('create table tally (saga text primary key, n integer not null)')
      }
      const at = { own: first.at, other: second.at }
      const opened = openPrograms(at)
      await live({ random, programs, at, stores: opened }).finally(() => opened.close())
    }
  })
})

async function live({
  random,
  programs,
  at,
  stores,
}: {
  random: () => number
  programs: readonly Program[]
  at: ProgramAddresses
  stores: ProgramStores
}): Promise<void> {
  const { own, other, twoPhase } = stores
  const definition = toSaga(stores)
  for (const program of programs) await definition.start(own, program.seed, { id: idOf(program) })
  const launch = (failpoint?: string) =>
    startFixture<{ ready: boolean }>(PROCESS, {
      args: [JSON.stringify({ ...at, ...(failpoint !== undefined && { failpoint }) })],
    })
  const tell = async (): Promise<void> => {
    for (const program of programs) {
      const handle = definition.get(own, idOf(program))
      // Twice, as a broker may deliver them; the second is the same message.
      for (const signal of signalsOf(program)) {
        await handle.signal(signal, 1, { id: signal })
        await handle.signal(signal, 1, { id: signal })
      }
      if (program.seed % 11 === 0) await handle.cancel()
    }
  }
  // Lives that end at a failpoint, or are stopped there for longer than their leases.
  const lives = PROGRAMS < 100 ? 2 : 4
  const frozen: ReturnType<typeof launch>[] = []
  const places = twoPhase === undefined ? FAILPOINTS : [...FAILPOINTS, ...TWO_PHASE_FAILPOINTS]
  for (let i = 0; i < lives; i++) {
    const place = places[Math.floor(random() * places.length)]
    const hit = 1 + Math.floor(random() * 12)
    // A stopped writer of SQLite holds the file until it is killed, so there only kills.
    const action = isPostgres(at.own) && i % 2 === 1 ? 'stop' : 'kill'
    const child = launch(`${place}=${action}@${hit}`)
    await child.line((line) => line.ready, { deadlineMs: 30_000 }).catch(() => {})
    if (i === 1) await tell()
    await Promise.race([child.exited, lifetime(300 + random() * 500)])
    if (action === 'kill') await child.kill()
    else {
      child.freeze()
      frozen.push(child)
    }
  }
  const last = launch()
  await last.line((line) => line.ready, { deadlineMs: 30_000 })
  await tell()
  const ended = async (): Promise<boolean> => {
    const [row] = await own.query<{ n: unknown }>(
      sql`select count(*) as n from ${own.table('saga')} where ended_at_ms is null and state <> 'stuck'`,
    )
    return Number(row?.n) === 0
  }
  await until(ended, { deadlineMs: 120_000, everyMs: 50, what: 'the programs to end' })
  // The zombies wake when everything is over, and must change nothing.
  for (const child of frozen) child.thaw()
  if (frozen.length > 0) await lifetime(500)
  for (const child of frozen) await child.kill()
  // What was decided and not carried out counts too; what was not decided must go.
  const settled = async (): Promise<boolean> => (await twoPhase?.prepared())?.shares.length === 0
  if (twoPhase !== undefined)
    await until(settled, { deadlineMs: 60_000, everyMs: 50, what: 'recovery to end what is prepared' })
  await last.kill()
  const problems: string[] = []
  for (const program of programs) {
    const id = idOf(program)
    const { state, reason } = await sagaOperations(own).show(id)
    const effects: string[] = []
    for (const store of [own, other]) {
      const rows = await store.query<{ what: string }>(sql`select what from effects where saga = ${id}`)
      effects.push(...rows.map((row) => row.what))
    }
    for (const problem of judge(program, state, effects))
      problems.push(`seed ${program.seed}: ${problem} (${reason})`)
  }
  expect(problems).toEqual([])
}

/** How long a process lives, or a zombie is watched: part of the faults, and nothing is waited for in it. */
function lifetime(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
