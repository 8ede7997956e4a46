import { migrate, type Store, sql } from 'holdfast'
import { saga } from 'holdfast/saga'
import { sqlite } from 'holdfast/sqlite'
import { describe, expect, it } from 'vitest'
import { judgeSagas, readSagaFacts } from '../../src/cli/doctor/sagas.ts'
import { readInFlight } from '../../src/saga/in-flight.ts'
import { openSqlite } from '../support/sqlite.ts'
import { until } from '../support/wait.ts'
import { reusedStores as stores } from './reused.ts'
import { startRunner } from './stores.ts'

const fine = saga('fine', async (s) => s.step('one', () => 1))
const stuck = saga('stuck', async (s) => {
  await s.step('pay', () => 1, {
    undo: () => {
      throw Object.assign(new Error('the bank says no'), { final: true })
    },
  })
  throw new Error('no')
})
const waits = saga('waits', (s) => s.receive('go'))
const unknown = saga('unknown', async () => 1)

const levels = async (store: Store) =>
  judgeSagas(await readSagaFacts(store)).map(({ level, check }) => `${level} ${check}`)

describe.each(stores)('what is in flight, on $name', ({ open }) => {
  it('is told apart: with a runner, without one, not taken up, stuck', async () => {
    await using opened = await open()
    const { store } = opened
    expect(await readInFlight(store)).toEqual({
      inFlight: 0,
      stuck: 0,
      oldestAgeMs: 0,
      unheld: 0,
      overdue: 0,
      stepMs: undefined,
      stuckSagas: [],
    })
    await waits.start(store, undefined, { id: 'w' })
    expect(await readInFlight(store)).toMatchObject({ inFlight: 1, unheld: 1, overdue: 0 })
    expect(await levels(store)).toEqual(['warning sagas-unheld'])

    const runner = await startRunner(store, [fine, stuck, waits])
    await fine.run(store, undefined)
    await expect(stuck.run(store, undefined, { id: 's' })).rejects.toThrow(/stuck/)
    await until(async () => (await readInFlight(store)).unheld === 0, { what: 'the runner to hold all' })
    const found = await readInFlight(store)
    expect(found).toMatchObject({ inFlight: 1, stuck: 1, unheld: 0, overdue: 0 })
    expect(found.stuckSagas).toMatchObject([{ id: 's', name: 'stuck' }])
    expect(found.stuckSagas[0]?.reason).toContain('the bank says no')
    expect(found.stepMs?.p50).toBeGreaterThanOrEqual(0)
    expect(await levels(store)).toEqual(['warning sagas-stuck'])

    // Of an urgent saga the time to wake lies far back from the start; only its age makes it overdue.
    await unknown.start(store, undefined, { id: 'u', priority: 1_000 })
    expect(await readInFlight(store)).toMatchObject({ inFlight: 2, overdue: 0 })
    await store.execute(
      sql`update ${store.table('saga')} set started_at_ms = started_at_ms - 120000 where id = ${'u'}`,
    )
    const late = await readInFlight(store)
    expect(late).toMatchObject({ inFlight: 2, overdue: 1 })
    expect(late.oldestAgeMs).toBeGreaterThanOrEqual(120_000)
    expect(await levels(store)).toEqual(['warning sagas-stuck', 'warning sagas-overdue'])

    await runner.stop()
    expect(await readInFlight(store)).toMatchObject({ inFlight: 2, unheld: 2, overdue: 0 })
  })
})

it('a store without tables of sagas has no findings of them', async () => {
  await using store = sqlite({ open: () => openSqlite(':memory:') })
  await migrate(store, [])
  expect(await readSagaFacts(store)).toBeUndefined()
})
