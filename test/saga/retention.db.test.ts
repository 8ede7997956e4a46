/** Ended sagas are removed with all that belongs to them, and nothing else is. */
import { type Clock, type Store, sql, systemClock } from 'holdfast'
import { saga } from 'holdfast/saga'
import { sqlite } from 'holdfast/sqlite'
import { describe, expect, it } from 'vitest'
import { purgeEnded } from '../../src/saga/retention.ts'
import { openSqlite } from '../support/sqlite.ts'
import { until } from '../support/wait.ts'
import { reusedStores as stores } from './reused.ts'
import { quick, startRunner } from './stores.ts'

const once = async (s: { step(name: string, work: () => number): Promise<number> }) => s.step('work', () => 1)
const done = saga('done', once)

/** Rows of the tables of sagas. */
async function rows(store: Store): Promise<Record<string, number>> {
  const count = async (table: string) =>
    Number((await store.query<{ n: unknown }>(sql`select count(*) as n from ${store.table(table)}`))[0]?.n)
  return {
    sagas: await count('saga'),
    entries: await count('saga_entry'),
    signals: await count('saga_signal'),
  }
}

describe.each(stores)('retention on $name', ({ open }) => {
  it('removes what has ended longer ago, of its group; what waits, or is stuck, stays', async () => {
    await using opened = await open()
    const { store } = opened
    const waits = saga('waits', async (s) => s.receive('go'))
    const stuck = saga('stuck', async (s) => {
      const no = () => {
        throw new Error('no')
      }
      await s.step('a', () => 1, { undo: no, undoRetry: { attemptsMax: 1, ...quick } })
      no()
    })
    // A name that reads like the other one where `_` stands for any character.
    const [mine, other] = [saga('mine', once, { group: 'a_b' }), saga('other', once, { group: 'a-b' })]
    await using _default = await startRunner(store, [done, waits, stuck])
    await using _mine = await startRunner(store, [mine])
    await using _other = await startRunner(store, [other])
    for (const definition of [done, mine, other]) await definition.run(store, undefined)
    await waits.start(store, undefined, { id: 'waits' })
    await expect(stuck.run(store, undefined)).rejects.toMatchObject({ code: 'SAGA_STUCK' })
    expect(await purgeEnded(store, { olderThanMs: 60_000 })).toBe(0)
    await store.execute(
      sql`update ${store.table('saga')} set ended_at_ms = ended_at_ms - 61000 where ended_at_ms is not null`,
    )
    expect(await purgeEnded(store, { olderThanMs: 60_000, group: 'a_b' })).toBe(1)
    expect(await purgeEnded(store, { olderThanMs: 60_000 })).toBe(2)
    const left = await store.query<{ name: string }>(
      sql`select name from ${store.table('saga')} order by name`,
    )
    expect(left.map((row) => row.name)).toEqual(['stuck', 'waits'])
  })
})

it('a runner does it by itself, from time to time, with the journal and the signals', async () => {
  await using opened = await (stores[0] as (typeof stores)[number]).open()
  const asked: number[] = []
  // Nothing else in a runner pauses for so long: what takes it half a minute and more is over at once.
  const clock: Clock = {
    ...systemClock,
    sleep(ms, signal) {
      if (ms >= 30_000) asked.push(ms)
      return systemClock.sleep(ms >= 30_000 ? 5 : ms, signal)
    },
  }
  await using store = sqlite({ open: () => openSqlite(opened.at), synchronous: 'normal', clock })
  const told = saga('told', async (s) => s.receive<number>('go'))
  await using _runner = await startRunner(store, [told], { retentionMs: 1 })
  const handle = await told.start(store, undefined, { id: 'a' })
  await handle.signal('go', 7)
  const gone = async () => Object.values(await rows(store)).every((n) => n === 0)
  await until(gone, { what: 'the saga, its entries and its signal to be removed' })
  expect(Math.max(...asked)).toBeLessThanOrEqual(90_000)
})
