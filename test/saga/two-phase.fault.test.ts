import { migrate, sql } from 'holdfast'
import { SagaFailedError } from 'holdfast/saga'
import { allTables } from 'holdfast/tables'
import { failpoints, isStopped } from 'holdfast/testing'
import { afterAll, afterEach, beforeAll, describe, expect, expectTypeOf, it } from 'vitest'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'
import { POINTS as COORDINATOR } from '../two-phase/points.ts'
import { openWorld, type World } from '../two-phase/world.ts'
import { startRunner } from './stores.ts'
import { audit, EFFECTS, type Moved, moveSaga, openTwoPhase, PLACES } from './two-phase-saga.ts'

afterEach(() => failpoints.reset())

const PROCESS = new URL('./two-phase-process.ts', import.meta.url)

/** The journal is in `orders`; the log of the decisions is where `place` says. */
async function open(place: (typeof PLACES)[number]) {
  const world = await openWorld(place)
  for (const store of new Set([world.orders, world.log])) await migrate(store, allTables)
  for (const store of [world.orders, world.payments]) {
    for (const table of EFFECTS) await store.execute(table)
  }
  return world
}

const launch = (world: World, mode: 'crash' | 'stop', points: readonly string[]) =>
  startFixture<{ ended?: boolean; stuck?: string[] }>(PROCESS, {
    args: [JSON.stringify({ at: world.at, mode, points })],
  })

const preparedLeft = async (world: World) => (await world.audit()).prepared

describe.each(PLACES)('a step over two stores, with the log %s', (place) => {
  let world: World
  beforeAll(async () => {
    world = await open(place)
  })
  afterAll(() => world[Symbol.asyncDispose]())

  it('gives its result and has one effect in each, also when its answer was lost', async () => {
    const mine = openTwoPhase(world.at)
    const definition = moveSaga(mine)
    const runner = await startRunner(mine.orders, [definition])
    failpoints.arm('saga.step.after', 'throw', { times: 2 })
    const handle = await definition.start(mine.orders, { fails: false }, { id: 'given' })
    const result = await handle.result()
    expectTypeOf(result).toEqualTypeOf<Moved>()
    expect(result).toEqual({ from: 'orders', to: 'payments' })
    expect(await audit(world, 'given')).toEqual({ orders: ['do'], payments: ['do'] })
    await runner.stop()
    await mine.close()
  })

  it('is undone in both, with what it gave, and once', async () => {
    const mine = openTwoPhase(world.at)
    const definition = moveSaga(mine)
    const runner = await startRunner(mine.orders, [definition])
    const handle = await definition.start(mine.orders, { fails: true }, { id: 'undone' })
    failpoints.arm('saga.step.after', 'throw', { skip: 1, times: 2 })
    await expect(handle.result()).rejects.toThrow(SagaFailedError)
    const both = ['do', 'undo payments']
    expect(await audit(world, 'undone')).toEqual({ orders: both, payments: both })
    await runner.stop()
    await mine.close()
  })

  it('that was never decided leaves a mark when it is undone, and nothing else', async () => {
    const mine = openTwoPhase(world.at)
    const definition = moveSaga(mine)
    const runner = await startRunner(mine.orders, [definition])
    failpoints.arm('two-phase.deciding', 'throw', { times: 1_000 })
    failpoints.arm('two-phase.worked', 'throw', { times: 50 })
    const handle = await definition.start(mine.orders, { fails: false }, { id: 'undecided' })
    await expect(handle.result()).rejects.toThrow(SagaFailedError)
    expect(await audit(world, 'undecided')).toEqual({ orders: [], payments: [] })
    const marks = await world.log.read<{ phase: string }>(
      sql`select phase from ${world.log.table('effect')} where id = ${'undecided'} and phase <> '' order by phase`,
    )
    expect(marks.map((row) => row.phase)).toEqual(['move/do', 'move/undo'])
    await runner.stop()
    await mine.close()
  })
})

/** The places of the coordinator, those of the step around it, and those of its barrier in the log. */
const POINTS = [
  'saga.step.before',
  ...COORDINATOR.slice(0, 1),
  'participant.begun',
  'participant.recorded',
  'participant.worked',
  ...COORDINATOR.slice(1),
  'saga.step.after',
  'saga.step.recorded',
]

describe.each(['apart', 'orders'] as const)('the process of the step, with the log %s,', (place) => {
  // No recovery runs, so what a dead attempt has prepared is settled by the next one, or its row locks stop it for good.
  it('is killed at every place: each saga has one effect in each database, or none after it was given back', async () => {
    await using world = await open(place)
    const { signal } = await launch(world, 'crash', POINTS).exited
    expect(signal).toBe('SIGKILL')
    const mine = openTwoPhase(world.at)
    const definition = moveSaga(mine)
    const runner = await startRunner(mine.orders, [definition])
    for (const point of POINTS) {
      const failed = await definition
        .get(mine.orders, point)
        .result()
        .then(
          () => false,
          () => true,
        )
      const fails = point.length % 2 === 1
      expect(failed, point).toBe(fails)
      const expected = fails ? ['do', 'undo payments'] : ['do']
      expect(await audit(world, point), point).toEqual({ orders: expected, payments: expected })
    }
    await until(async () => (await preparedLeft(world)).length === 0, {
      deadlineMs: 20_000,
      what: 'no prepared transaction',
    })
    await runner.stop()
    await mine.close()
  }, 90_000)

  it.each(['two-phase.prepared', 'two-phase.decided'])(
    'is paused at %s, and wakes when its successor is done',
    async (point) => {
      await using world = await open(place)
      const child = launch(world, 'stop', [point])
      await until(() => isStopped(child.pid), { deadlineMs: 30_000, everyMs: 50 })
      const mine = openTwoPhase(world.at)
      const definition = moveSaga(mine)
      const runner = await startRunner(mine.orders, [definition])
      const handle = definition.get(mine.orders, 'stopped')
      expect(await handle.result()).toEqual({ from: 'orders', to: 'payments' })
      child.thaw()
      await child.line((line) => line.ended === true, { deadlineMs: 20_000 })
      await until(async () => (await preparedLeft(world)).length === 0, {
        deadlineMs: 20_000,
        what: 'no prepared transaction',
      })
      expect(await audit(world, 'stopped')).toEqual({ orders: ['do'], payments: ['do'] })
      await runner.stop()
      await mine.close()
    },
    60_000,
  )
})
