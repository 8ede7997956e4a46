/** The next attempt settles what an earlier one has prepared, at once, and no other's. */
import { failpoints } from 'holdfast/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { moved, NOTHING, openWorld, places, useWorld, type World } from './world.ts'

afterEach(() => failpoints.reset())

describe.each(places)('with the log %s', (place) => {
  let world: World
  useWorld(place, (opened) => {
    world = opened
  })

  const insert = (attemptOf: string) =>
    world.coordinator()(
      [world.orders, world.payments],
      async ([o, p]) => {
        await o.execute(`insert into moved (id) values ('${attemptOf}')`)
        await p.execute(`insert into moved (id) values ('${attemptOf}')`)
      },
      { attemptOf, retries: 0 },
    )
  const takeOver = (attemptOf: string) =>
    world.coordinator().takeOver({ stores: [world.orders, world.payments], attemptOf, timeoutMs: 1_000 })

  it('one that is decided is carried out, however young', async () => {
    failpoints.arm('two-phase.committing', 'throw', { times: 2 })
    await insert('a')
    expect((await world.audit()).prepared).not.toEqual([])
    expect(await takeOver('b')).toMatchObject({ committed: 0, rolledBack: 0, pending: [] })
    expect((await world.audit()).prepared).not.toEqual([])
    expect(await takeOver('a')).toMatchObject({ rolledBack: 0, waiting: 0, pending: [] })
    expect(await world.audit()).toEqual(moved('a'))
    expect(await takeOver('a')).toMatchObject({ committed: 0, rolledBack: 0, pending: [] })
  })

  // An SQLite log is locked by the paused one, so there it could only be waited for.
  if (place === 'sqlite') return
  it('one that is paused and not decided is aborted, and cannot win later', async () => {
    const armed = failpoints.arm('two-phase.prepared', 'pause', { times: 1 })
    const paused = insert('a').then(
      () => 'committed',
      (error: unknown) => error,
    )
    await armed.reached
    expect(await takeOver('b')).toMatchObject({ committed: 0, rolledBack: 0, pending: [] })
    expect(await takeOver('a')).toMatchObject({ committed: 0, waiting: 0, pending: [] })
    armed.resume()
    expect(await paused).toMatchObject({ code: 'TWO_PHASE_ABORTED', reason: 'recovery' })
    expect(await world.audit()).toEqual(NOTHING)
    await insert('a')
    expect(await world.audit()).toEqual(moved('a'))
  })
})

it('what cannot be is refused', async () => {
  await using world = await openWorld('sqlite')
  const twoPhase = world.coordinator()
  await expect(twoPhase.takeOver({ stores: [world.orders], attemptOf: '' })).rejects.toThrow('attemptOf')
  await expect(twoPhase([world.orders], async () => 1, { attemptOf: '' })).rejects.toThrow('attemptOf')
})
