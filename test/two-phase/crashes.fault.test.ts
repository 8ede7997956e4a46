/** The coordinator is killed, paused or stopped at every place between two effects. */
import { readdirSync, readFileSync } from 'node:fs'
import { failpoints, isStopped } from 'holdfast/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'
import { DECIDED, POINTS } from './points.ts'
import { move, moved, openWorld, places, settles, type World } from './world.ts'

afterEach(() => failpoints.reset())

interface Line {
  readonly hits?: string[]
  readonly stuck?: string[]
  readonly ended?: string
}

const PROCESS = new URL('./coordinator-process.ts', import.meta.url)

const start = (world: World, mode: string, points: readonly string[]) =>
  startFixture<Line>(PROCESS, { args: [JSON.stringify({ at: world.at, mode, points })] })

/** The places of the coordinator, of its recovery apart; giving up is for what went wrong. */
const inSource = readdirSync(new URL('../../src/two-phase/', import.meta.url))
  .flatMap((file) => [
    ...readFileSync(new URL(`../../src/two-phase/${file}`, import.meta.url), 'utf8').matchAll(
      /(?:failpoint\(|orLeave\(\S+, )'([^']+)'/g,
    ),
  ])
  .map(([, name]) => name as string)
  .filter((name) => !/recover|giving-up/.test(name))

/** What the survivors agree on: what was decided is there, all else is not. */
const decided = (points: readonly string[]) => moved(...points.filter((p) => DECIDED.has(p)).sort())

describe('the coordinator is killed', () => {
  it('a clean run passes every place', async () => {
    await using world = await openWorld('apart')
    const child = start(world, 'record', [])
    const { hits = [] } = await child.line((line) => line.hits !== undefined, { deadlineMs: 20_000 })
    expect(hits).toEqual(expect.arrayContaining(POINTS))
    expect(POINTS).toEqual(expect.arrayContaining(inSource))
  })

  // One transaction is at each place when the process dies.
  it.each(['apart', 'orders'] as const)('at every place, with the log %s', async (place) => {
    await using world = await openWorld(place)
    const { signal } = await start(world, 'crash', POINTS).exited
    expect(signal).toBe('SIGKILL')
    await settles(world)
    expect(await world.audit()).toEqual(decided(POINTS))
  })

  // One writer at a time: a transaction at each place needs a process for each.
  it('at every place, with SQLite as the last resource', async () => {
    await using world = await openWorld('sqlite')
    for (const point of POINTS) {
      const { signal } = await start(world, 'crash', [point]).exited
      expect(signal, point).toBe('SIGKILL')
    }
    await settles(world)
    expect(await world.audit()).toEqual(decided(POINTS))
  }, 60_000)

  it('stuck PENDING after a crash: recovery leaves nothing unfinished, however often it is itself interrupted', async () => {
    await using world = await openWorld('apart')
    await start(world, 'crash', POINTS).exited
    const twoPhase = world.coordinator()
    for (const point of ['listed', 'decided', 'ending']) {
      failpoints.arm(`two-phase.recover.${point}`, 'throw', { times: 1 })
      await twoPhase.recover({ inDoubtMs: 0 }).catch(() => {})
    }
    failpoints.reset()
    await settles(world)
    expect(await world.audit()).toEqual(decided(POINTS))
    expect(await twoPhase.decisions()).toEqual([])
  })

  it('double run by two recoverers: both settle the same, and the second is told that it is done', async () => {
    await using world = await openWorld('apart')
    await start(world, 'crash', POINTS).exited
    await untilRolledBack(world)
    const recoverers = [world.coordinator(), world.coordinator(), world.coordinator()]
    const reports = await Promise.all(recoverers.map((r) => r.recover({ inDoubtMs: 0 })))
    expect(reports.flatMap((r) => r.pending)).toEqual([])
    expect(await world.audit()).toEqual(decided(POINTS))
  })

  it('what is younger than inDoubtMs is left to its coordinator', async () => {
    await using world = await openWorld('apart')
    await start(world, 'crash', ['two-phase.prepared', 'two-phase.decided']).exited
    const twoPhase = world.coordinator()
    expect(await twoPhase.recover({ inDoubtMs: 600_000 })).toMatchObject({
      committed: 2,
      rolledBack: 0,
      waiting: 2,
    })
    expect(await twoPhase.recover({ inDoubtMs: 0 })).toMatchObject({
      committed: 0,
      rolledBack: 2,
      waiting: 0,
    })
    expect(await world.audit()).toEqual(moved('two-phase.decided'))
  })
})

describe('the coordinator is paused while recovery runs', () => {
  it.each(places)(
    'recovery that aborts what a paused coordinator then commits, with the log %s',
    async (place) => {
      await using world = await openWorld(place)
      const twoPhase = world.coordinator()
      const recoverer = world.coordinator()
      await twoPhase.check()
      const there: string[] = []
      for (const point of POINTS) {
        const armed = failpoints.arm(point, 'pause', { times: 1 })
        const moving = move(twoPhase, world, point).then(
          () => 'committed',
          (error) => error as { code: string; outcome: string },
        )
        await armed.reached
        // On SQLite, and where a decision is about to be committed, the log is held by the paused one: a short wait tells.
        await recoverer.recover({ inDoubtMs: 0, timeoutMs: 300 }).catch(() => {})
        armed.disarm()
        const ended = await moving
        if (ended === 'committed') there.push(point)
        else
          expect(ended, point).toMatchObject({
            code: 'TWO_PHASE_ABORTED',
            outcome: 'not-applied',
            reason: 'recovery',
          })
        await recoverer.recover({ inDoubtMs: 0 })
        expect(await world.audit(), point).toEqual(moved(...[...there].sort()))
      }
      // Whatever was decided before the pause stands, and what recovery could decide, it has.
      expect(there).toEqual(expect.arrayContaining([...DECIDED]))
      expect(there).not.toContain(place === 'sqlite' ? '' : 'two-phase.prepared')
    },
    60_000,
  )

  it.each([
    ['two-phase.prepared', 'TWO_PHASE_ABORTED', []],
    ['two-phase.decided', 'committed', ['stopped']],
  ] as const)('stopped by SIGSTOP at %s', async (point, ended, ids) => {
    await using world = await openWorld('apart')
    const child = start(world, 'stop', [point])
    await until(() => isStopped(child.pid), { deadlineMs: 20_000, everyMs: 50 })
    const twoPhase = world.coordinator()
    expect(await twoPhase.recover({ inDoubtMs: 0 })).toMatchObject({ pending: [], waiting: 0 })
    expect(await world.audit()).toEqual(moved(...ids))
    child.thaw()
    expect(await child.line((line) => line.ended !== undefined)).toEqual({ ended })
    await child.exited
    expect(await world.audit()).toEqual(moved(...ids))
  })
})

async function untilRolledBack(world: World): Promise<void> {
  await until(
    async () => {
      const rows = await world.payments.query(
        "select 1 from pg_stat_activity where datname = current_database() and state = 'idle in transaction'",
      )
      return rows.length === 0
    },
    { what: 'the server to notice that the coordinator is gone' },
  )
}
