/**
 * Random programs of sagas under kills, stops and duplicates, judged by the participants' tables. `HOLDFAST_SAGA_PROGRAMS`
 * says how many (20 without it), `HOLDFAST_SAGA_SEED` where to begin: a failure names the seed of its program.
 */
import { type Store, sql } from 'holdfast'
import { sagaOperations } from 'holdfast/saga'
import { seededRandom } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'
import { judge } from './audit.ts'
import { idOf, makeProgram, type Program, signalsOf, toSaga } from './program.ts'
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

describe.each(stores)('random programs on $name', ({ name, open }) => {
  it(`${PROGRAMS} programs from seed ${SEED} have each effect once, whole or given back`, {
    timeout: 150_000 + PROGRAMS * 1_500,
  }, async () => {
    const random = seededRandom(SEED)
    for (let done = 0; done < PROGRAMS; done += PER_LIFE) {
      const programs = Array.from({ length: Math.min(PER_LIFE, PROGRAMS - done) }, (_, i) =>
        makeProgram(SEED + done + i),
      )
      await using opened = await open()
      const own = opened.store
      const second = await opened.second()
      for (const store of [own, second.store])
        await store.execute('create table calls (call_key text primary key)')
      await live({
        name,
        random,
        programs,
        own,
        other: second.store,
        at: { own: opened.at, other: second.at },
      })
    }
  })
})

async function live({
  name,
  random,
  programs,
  own,
  other,
  at,
}: {
  name: 'sqlite' | 'postgres'
  random: () => number
  programs: readonly Program[]
  own: Store
  other: Store
  at: { own: string; other: string }
}): Promise<void> {
  const definition = toSaga({ own, other })
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
  for (let i = 0; i < lives; i++) {
    const place = FAILPOINTS[Math.floor(random() * FAILPOINTS.length)]
    const hit = 1 + Math.floor(random() * 12)
    // A stopped writer of SQLite holds the file until it is killed, so there only kills.
    const action = name === 'postgres' && i % 2 === 1 ? 'stop' : 'kill'
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
  await last.kill()
  const problems: string[] = []
  for (const program of programs) {
    const id = idOf(program)
    const { state } = await sagaOperations(own).show(id)
    const effects: string[] = []
    for (const store of [own, other]) {
      const rows = await store.query<{ what: string }>(sql`select what from effects where saga = ${id}`)
      effects.push(...rows.map((row) => row.what))
    }
    for (const problem of judge(program, state, effects)) problems.push(`seed ${program.seed}: ${problem}`)
  }
  expect(problems).toEqual([])
}

/** How long a process lives, or a zombie is watched: part of the faults, and nothing is waited for in it. */
function lifetime(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
