/** The coordinator is killed, or paused while recovery runs, and a participant or the log is down as well. */
import { failpoints } from 'holdfast/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { startFixture } from '../support/process.ts'
import { behindProxy } from './behind-proxy.ts'
import { DECIDED, POINTS } from './points.ts'
import { coordinatorOf, move, openStores, type Place, type Victim } from './stores.ts'
import { openWorld, settles, type World } from './world.ts'

afterEach(() => failpoints.reset())

const PROCESS = new URL('./campaign-process.ts', import.meta.url)
const DOWN_AT = ['two-phase.worked', 'two-phase.prepared', 'two-phase.deciding', 'two-phase.decided']

/** Each place where something goes down, with each later one where the coordinator dies. */
const PAIRS = DOWN_AT.flatMap((down) =>
  POINTS.slice(POINTS.indexOf(down) + 1).map((stay) => [down, stay] as const),
)

const COMBINATIONS: readonly (readonly [Place, Victim])[] = [
  ['apart', 'orders'],
  ['apart', 'payments'],
  ['apart', 'log'],
  ['orders', 'orders'],
  ['orders', 'payments'],
]

describe('the coordinator is killed at every place after each at which something went down', () => {
  it.each(COMBINATIONS)('with the log %s, and %s down', async (place, victim) => {
    await using world = await openWorld(place)
    await dies(world, victim, PAIRS)
  })

  // One writer at a time: each needs a process.
  it('with SQLite as the last resource, and payments down', async () => {
    await using world = await openWorld('sqlite')
    for (const pair of [
      ['two-phase.worked', 'store.prepare.before'],
      ['two-phase.prepared', 'store.commit.before'],
      ['two-phase.prepared', 'two-phase.decided'],
      ['two-phase.decided', 'two-phase.committing'],
    ] as const)
      await dies(world, 'payments', [pair])
  })
})

async function dies(
  world: World,
  victim: Victim,
  pairs: readonly (readonly [string, string])[],
): Promise<void> {
  const child = startFixture<{ ends: Record<string, string> }>(PROCESS, {
    args: [JSON.stringify({ at: world.at, victim, pairs })],
  })
  const { ends } = await child.line((line) => line.ends !== undefined, { deadlineMs: 25_000 })
  expect(await child.exited).toMatchObject({ signal: 'SIGKILL' })
  await settles(world)
  const { orders, payments } = await world.audit()
  expect(payments).toEqual(orders)
  // A coordinator that lost its log has asked it since, and may have stayed while it had an abort decided.
  const hasLog = victim !== 'log' && !(world.at.place === 'orders' && victim === 'orders')
  expect(Object.keys(ends)).toHaveLength(pairs.length)
  expect(Object.values(ends)).toContain('stayed')
  for (const [down, stay] of pairs) {
    const id = `${down} ${stay}`
    const end = ends[id]
    if (end === 'applied' || (end === 'stayed' && hasLog && DECIDED.has(stay)))
      expect(orders, id).toContain(id)
    if (end === 'not-applied') expect(orders, id).not.toContain(id)
  }
}

describe('the coordinator is paused at every place while recovery runs', () => {
  it.each(COMBINATIONS)('with the log %s, and %s down meanwhile', async (place, victim) => {
    await using world = await openWorld(place)
    const { at, proxy } = await behindProxy(world.at, victim)
    const [mine, theirs] = [openStores(at), openStores(at)]
    try {
      const twoPhase = coordinatorOf(mine)
      const recoverer = coordinatorOf(theirs)
      await twoPhase.check()
      for (const point of POINTS) {
        const armed = failpoints.arm(point, 'pause', { times: 1 })
        const moving = move(twoPhase, mine, point).then(
          () => 'applied',
          (error: { outcome?: string }) => error.outcome ?? 'not-applied',
        )
        await armed.reached
        proxy.refuse()
        proxy.cut()
        // What is there is decided; without the log nothing is.
        await recoverer.recover({ inDoubtMs: 0, timeoutMs: 300 }).catch(() => {})
        proxy.heal()
        armed.disarm()
        const end = await moving
        await settles(world)
        const { orders, payments } = await world.audit()
        expect(payments, point).toEqual(orders)
        if (end === 'applied') expect(orders, point).toContain(point)
        if (end === 'not-applied') expect(orders, point).not.toContain(point)
        if (DECIDED.has(point)) expect(orders, point).toContain(point)
      }
    } finally {
      await mine.close()
      await theirs.close()
      await proxy.close()
    }
  })
})
