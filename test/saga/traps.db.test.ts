/** Bad input, and traps that other systems fell into: each title names one. */
import { sql } from 'holdfast'
import { createParticipant } from 'holdfast/participant'
import { saga } from 'holdfast/saga'
import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/core/deferred.ts'
import { until } from '../support/wait.ts'
import { reusedStores as stores } from './reused.ts'
import { effectsOf, quick, startRunner } from './stores.ts'

describe.each(stores)('traps on $name', ({ open }) => {
  it('an input that JSON cannot hold is refused before any effect', async () => {
    await using opened = await open()
    const { store } = opened
    let ran = 0
    const bad = saga('bad', async (s, _input: unknown) => s.step('a', () => (ran += 1)))
    await using _runner = await startRunner(store, [bad])
    const cyclic: Record<string, unknown> = {}
    cyclic.self = cyclic
    for (const input of [
      1n,
      { at: new Date() },
      cyclic,
      () => 1,
      Number.NaN,
      new Map(),
      'x'.repeat(5_000_000),
    ]) {
      await expect(bad.start(store, input)).rejects.toMatchObject({
        code: 'PAYLOAD_INVALID',
        outcome: 'not-applied',
      })
    }
    const [row] = await store.query<{ n: unknown }>(sql`select count(*) as n from ${store.table('saga')}`)
    expect([Number(row?.n), ran]).toEqual([0, 0])
    expect(await bad.run(store, undefined)).toBe(1)
    expect(await bad.run(store, 'x'.repeat(900_000))).toBe(2)
  })

  it('a step whose result JSON cannot hold has failed, and is undone without a result', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: unknown[] = []
    const bad = saga('bad', async (s) => {
      await s.step('a', () => new Date(), { undo: ({ result }) => void undone.push(result) })
    })
    await using _runner = await startRunner(store, [bad])
    await expect(bad.run(store, undefined)).rejects.toThrow('a Date has no JSON form')
    expect(undone).toEqual([undefined])
  })

  it('something thrown that is no Error fails the saga with a text', async () => {
    await using opened = await open()
    const { store } = opened
    const thrown: unknown[] = ['text', undefined, null, 42, { code: 7 }]
    const bad = saga('bad', async (_s, i: number) => {
      throw thrown[i]
    })
    await using _runner = await startRunner(store, [bad])
    for (let i = 0; i < thrown.length; i++) {
      await expect(bad.run(store, i)).rejects.toMatchObject({
        code: 'SAGA_FAILED',
        message: expect.stringContaining('something that is no Error was thrown'),
      })
    }
  })

  it('an id of any script, with quotes and slashes, is an id; a NUL is not', async () => {
    await using opened = await open()
    const { store } = opened
    const echo = saga('echo', async (s) => s.transaction('t', store, async () => s.sagaId))
    await using _runner = await startRunner(store, [echo])
    for (const id of ["o'brien", 'a/b/c', '注文 #1\n"x"', '💶', '%_\\']) {
      expect(await echo.run(store, undefined, { id })).toBe(id)
    }
    await expect(echo.start(store, undefined, { id: 'a\0b' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
    await expect(echo.start(store, undefined, { id: 'x'.repeat(401) })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
  })

  it('an error whose text PostgreSQL cannot hold does not stop the saga from going back', async () => {
    await using opened = await open()
    const { store } = opened
    const bad = saga('bad', async (s) => {
      await s.step(
        'a',
        () => {
          throw new Error('zero \0 and a lone \ud800')
        },
        { retry: { attemptsMax: 2, ...quick } },
      )
    })
    await using _runner = await startRunner(store, [bad])
    await expect(bad.run(store, undefined)).rejects.toMatchObject({ code: 'SAGA_FAILED' })
  })

  it('null compensation that forgets its mark: the forward step that comes late is refused', async () => {
    await using opened = await open()
    const { store } = opened
    const { store: other } = await opened.second()
    const gate = deferred<void>()
    const slow = saga('slow', async (s) => {
      await s.step('mark', () => {}, {})
      await s.transaction(
        'book',
        other,
        async (tx) => tx.execute(sql`insert into effects (saga, what) values (${s.sagaId}, 'booked')`),
        { undo: (tx) => tx.execute(sql`insert into effects (saga, what) values (${s.sagaId}, 'gave back')`) },
      )
      await s.step('wait', () => gate.promise)
      throw new Error('no')
    })
    await using _runner = await startRunner(store, [slow])
    const handle = await slow.start(store, undefined, { id: 'n' })
    await until(async () => (await effectsOf(other, 'n')).length === 1)
    gate.resolve()
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_FAILED' })
    const participant = createParticipant(other, { name: 'saga' })
    const late = participant.transaction({ saga: 'n', step: 'book', phase: 'do', epoch: 2n ** 40n }, (tx) =>
      tx.execute(sql`insert into effects (saga, what) values ('n', 'booked again')`),
    )
    await expect(late).rejects.toMatchObject({ code: 'STEP_UNDONE' })
    expect(await effectsOf(other, 'n')).toEqual(['booked', 'gave back'])
  })

  it('select-then-insert deadlock: a hundred starts of one id at once make one saga', async () => {
    await using opened = await open()
    const { store } = opened
    let ran = 0
    const once = saga('once', async (s) => s.step('a', () => (ran += 1)))
    await using _a = await startRunner(store, [once])
    await using _b = await startRunner(store, [once])
    const handles = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        i % 2 === 0
          ? once.start(store, undefined, { id: 'same' })
          : store.transaction((tx) => once.start(tx, undefined, { id: 'same' })),
      ),
    )
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(handles.map(() => 1))
    expect(ran).toBe(1)
  })

  it('a poison saga that never answers does not hold up the others', async () => {
    await using opened = await open()
    const { store } = opened
    const job = saga('job', async (s, poison: boolean) => {
      await s.step('work', () => (poison ? new Promise(() => {}) : undefined))
    })
    await using runner = await startRunner(store, [job], { abandonMs: 50 })
    await Promise.all(Array.from({ length: 5 }, () => job.start(store, true)))
    await Promise.all(Array.from({ length: 50 }, () => job.run(store, false)))
    expect(runner.figures()).toMatchObject({ completed: 50, inMemory: 5 })
    await runner.stop({ drainMs: 1 })
  })

  it('always replaying finds code that is not deterministic', async () => {
    await using opened = await open()
    const { store } = opened
    const fine = saga('fine', async (s) => {
      const ids = [s.id()]
      for (let i = 0; i < 3; i++) ids.push(await s.step('a', () => s.id()))
      const both = await s.all('both', { x: (b) => b.step('n', () => 1), y: (b) => b.step('n', () => 2) })
      return [ids.length, both.x + both.y]
    })
    let runs = 0
    const wild = saga('wild', async (s) => {
      runs += 1
      await s.step(`step ${runs}`, () => 1)
      await s.step('end', () => 1)
    })
    await using _runner = await startRunner(store, [fine, wild], { alwaysReplay: true })
    expect(await fine.run(store, undefined)).toEqual([4, 3])
    await expect(wild.run(store, undefined)).rejects.toThrow('+ code:    step "step 2"')
  })
})
