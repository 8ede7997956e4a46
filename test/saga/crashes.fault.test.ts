/** Runners that are killed: what becomes of what they had in hand. */
import { sql } from 'holdfast'
import { deliverReply, MESSAGE_HEADERS, sagaOperations } from 'holdfast/saga'
import { testMessage } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'
import { effectsOf, type OpenedStore, startRunner, stores } from './stores.ts'
import { askSaga, tripSaga } from './trip.ts'

const PROCESS = new URL('./step-process.ts', import.meta.url)

function launch(places: object) {
  return startFixture<{ ready?: boolean }>(PROCESS, { args: [JSON.stringify({ ttlMs: 600, ...places })] })
}

async function openPlaces(open: () => Promise<OpenedStore>) {
  const opened = await open()
  const second = await opened.second()
  return {
    own: opened.store,
    other: second.store,
    at: { own: opened.at, other: second.at },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  }
}

describe.each(stores)('a killed runner on $name', ({ open }) => {
  it('stuck PENDING after a crash, and double run by two recoverers: two take over at once, and each effect is there once', async () => {
    await using places = await openPlaces(open)
    const { own, other } = places
    const trip = tripSaga(places)
    const ids = Array.from({ length: 30 }, (_, i) => `trip ${i}`)
    for (const id of ids) await trip.start(own, {}, { id })
    const killed = launch({ ...places.at, failpoint: 'participant.worked=kill@10' })
    expect(await killed.exited).toMatchObject({ signal: 'SIGKILL' })
    const [row] = await own.query<{ n: unknown }>(
      sql`select count(*) as n from ${own.table('saga')} where held = 1 and ended_at_ms is null`,
    )
    expect(Number(row?.n)).toBeGreaterThan(0)
    await using _one = await startRunner(own, [trip])
    await using _two = await startRunner(own, [trip])
    expect(await Promise.all(ids.map((id) => trip.get(own, id).result()))).toEqual(ids.map(() => 'arrived'))
    for (const id of ids) {
      expect([await effectsOf(own, id), await effectsOf(other, id)], id).toEqual([['own'], ['other']])
      const { entries } = await sagaOperations(own).show(id)
      const steps = entries.filter((entry) => entry.kind === 'step').map((entry) => entry.step)
      expect(steps, id).toEqual(['own', 'other', 'last'])
    }
  })
})

const [sqlite, postgres] = stores as [(typeof stores)[number], (typeof stores)[number]]

it('a poison saga that kills each process that runs it is given to a person, and the others arrive', async () => {
  await using places = await openPlaces(sqlite.open)
  const { own } = places
  const trip = tripSaga(places)
  await trip.start(own, { poison: true }, { id: 'poison' })
  const ids = Array.from({ length: 10 }, (_, i) => `trip ${i}`)
  for (const id of ids) await trip.start(own, {}, { id })
  const operations = sagaOperations(own)
  let deaths = 0
  for (;;) {
    const child = launch({ ...places.at, ttlMs: 250 })
    const stuck = until(async () => (await operations.show('poison')).state === 'stuck', {
      deadlineMs: 40_000,
      everyMs: 20,
    })
    const end = await Promise.race([child.exited, stuck.then(() => undefined)])
    stuck.catch(() => {})
    if (end === undefined) break
    expect(end.signal).toBe('SIGKILL')
    deaths += 1
    expect(deaths).toBeLessThan(10)
  }
  expect(deaths).toBe(6)
  expect((await operations.show('poison')).reason).toMatch(/died 6 times in a row/)
  for (const id of ids) expect(await trip.get(own, id).result()).toBe('arrived')
  expect(await effectsOf(own, 'poison')).toEqual(['own'])
}, 60_000)

it('a recurring saga runs once per tick over two processes', async () => {
  await using places = await openPlaces(postgres.open)
  for (const child of [launch({ ...places.at, ticks: true }), launch({ ...places.at, ticks: true })])
    await child.line((line) => line.ready === true, { deadlineMs: 20_000 })
  const ticks = await until(
    async () => {
      const found = await effectsOf(places.own, 'tick')
      return found.length >= 2 ? found : undefined
    },
    { deadlineMs: 20_000, what: 'two ticks' },
  )
  expect(new Set(ticks).size).toBe(ticks.length)
})

describe.each(stores)('a reply on $name', ({ open }) => {
  it.each([
    ['in memory', 60_000],
    ['laid down', 0],
  ])(
    'that a runner took up when it died, the saga %s, is there for its successor',
    async (_, parkAfterMs) => {
      await using places = await openPlaces(open)
      const { own } = places
      const ask = askSaga(places)
      const handle = await ask.start(own, undefined, { id: 'q' })
      // It takes up the saga, then the reply, and comes no further: neither the saga nor the journal is told.
      // A lease that ends on a loaded machine would make it take up the saga twice, and die before the reply comes.
      const killed = launch({ ...places.at, parkAfterMs, ttlMs: 2_000, failpoint: 'saga.claimed=kill@2' })
      const sent = sql`select message_id from ${own.table('outbox')}`
      await until(async () => (await own.query(sent)).length === 1, {
        deadlineMs: 20_000,
        what: 'the question to be sent',
      })
      if (parkAfterMs === 0) {
        const laidDown = sql`select id from ${own.table('saga')} where held = 0`
        await until(async () => (await own.query(laidDown)).length === 1, {
          what: 'the saga to be laid down',
        })
      }
      const headers = { [MESSAGE_HEADERS.saga]: 'q', [MESSAGE_HEADERS.step]: 'ask' }
      const told = await own.transaction((tx) =>
        deliverReply(tx, { ...testMessage({ headers }), payload: 42 }),
      )
      expect(told).toBe(true)
      expect(await killed.exited).toMatchObject({ signal: 'SIGKILL' })
      await using _successor = await startRunner(own, [ask])
      expect(await handle.result()).toBe(42)
      expect(await own.query(sent)).toHaveLength(1)
    },
  )
})
