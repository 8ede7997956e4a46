/** What a saga, a step and an undo may give and be given: what JSON cannot hold is refused before any effect. */
import { sql } from 'holdfast'
import { saga } from 'holdfast/saga'
import { describe, expect, it } from 'vitest'
import { reusedStores as stores } from './reused.ts'
import { effectsOf, startRunner } from './stores.ts'

const cyclic: Record<string, unknown> = {}
cyclic.self = cyclic

/** With what the message says of it. */
const BAD: readonly (readonly [what: string, value: unknown, says: RegExp])[] = [
  ['a bigint', 1n, /bigint/],
  ['a Date inside', { at: [new Date(0)] }, /\$\.at\[0\].*Date/],
  ['what contains itself', cyclic, /itself|cycl/i],
  ['undefined inside', { a: undefined, b: [undefined] }, /undefined/],
  ['a function', { f: () => 1 }, /function/],
  ['a number that is none', [Number.NaN], /NaN/],
  ['a Map', new Map([[1, 2]]), /Map/],
  ['5 MB', 'x'.repeat(5_000_000), /bytes/],
]

describe.each(stores)('values on $name', ({ open }) => {
  it('that JSON cannot hold, as the input of a step: it does not run', async () => {
    await using opened = await open()
    const { store } = opened
    let ran = 0
    const job = saga('job', async (s, i: number) => {
      await s.transaction(
        'before',
        store,
        (tx) => tx.execute(sql`insert into effects values (${s.sagaId}, 'done')`),
        {
          undo: (tx) => tx.execute(sql`insert into effects values (${s.sagaId}, 'undone')`),
        },
      )
      await s.step('step', BAD[i]?.[1], () => (ran += 1))
    })
    await using _runner = await startRunner(store, [job])
    for (const [i, [what, , says]] of BAD.entries()) {
      if (what === 'undefined inside') continue // see below
      await expect(job.run(store, i, { id: what }), what).rejects.toThrow(says)
      expect(await effectsOf(store, what), what).toEqual(['done', 'undone'])
    }
    expect(ran).toBe(0)
  })

  it('that JSON cannot hold, as the result of a transaction: nothing of it is committed', async () => {
    await using opened = await open()
    const { store } = opened
    const { store: other } = await opened.second()
    const job = saga('job', async (s, [i, where]: [number, 'own' | 'other']) => {
      await s.transaction('bad', where === 'own' ? store : other, async (tx) => {
        await tx.execute(sql`insert into effects values (${s.sagaId}, 'half')`)
        return BAD[i]?.[1]
      })
    })
    await using _runner = await startRunner(store, [job])
    for (const [i, [what, , says]] of BAD.entries()) {
      for (const where of ['own', 'other'] as const) {
        // What the barrier stores leaves undefined members out, as JSON does.
        if (what === 'undefined inside') continue
        if (where === 'other' && what === 'a Date inside') continue
        const id = `${what} ${where}`
        await expect(job.run(store, [i, where], { id }), id).rejects.toThrow(says)
        expect([...(await effectsOf(store, id)), ...(await effectsOf(other, id))], id).toEqual([])
      }
    }
  })

  it('that JSON cannot hold, as what the saga returns: it goes back', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: string[] = []
    const job = saga('job', async (s, i: number) => {
      await s.step('step', () => {}, { undo: () => void undone.push(s.sagaId) })
      return BAD[i]?.[1]
    })
    await using _runner = await startRunner(store, [job])
    const expected: string[] = []
    for (const [i, [what, , says]] of BAD.entries()) {
      if (what === 'undefined inside') continue
      await expect(job.run(store, i, { id: what }), what).rejects.toThrow(says)
      expected.push(what)
    }
    expect(undone).toEqual(expected)
  })

  it('undefined as a whole is a value; as a member it is left out, the same at once and on replay', async () => {
    await using opened = await open()
    const { store } = opened
    const seen: unknown[] = []
    const job = saga('job', async (s, input: unknown) => {
      const nothing = await s.step('nothing', () => undefined)
      const part = await s.step('part', input, () => ({ a: undefined, b: [1, null] }))
      seen.push([input, nothing, part])
    })
    await using _runner = await startRunner(store, [job], { alwaysReplay: true })
    expect(await job.run(store, { c: undefined, d: 'x' })).toBeUndefined()
    expect(seen.at(-1)).toEqual([{ d: 'x' }, undefined, { b: [1, null] }])
    expect(Object.keys((seen.at(-1) as [object, unknown, object])[2])).toEqual(['b'])
  })

  it('the order of members makes no other input, when a saga is started again and when it is replayed', async () => {
    await using opened = await open()
    const { store } = opened
    const orders = [
      { a: 1, b: [{ c: 2, d: 3 }] },
      { b: [{ d: 3, c: 2 }], a: 1 },
    ]
    let runs = 0
    const job = saga('job', async (s, _: unknown) => {
      const declared = orders[runs++ % 2]
      await s.step('step', declared, () => {})
      await s.step('after', () => {})
      return 'done'
    })
    await using _runner = await startRunner(store, [job], { alwaysReplay: true })
    for (const input of orders) expect(await job.run(store, input, { id: 'one' })).toBe('done')
    expect(runs).toBeGreaterThan(1)
    const other = job.start(store, { a: 1, b: [{ c: 3, d: 2 }] }, { id: 'one' })
    await expect(other).rejects.toMatchObject({ code: 'SAGA_ID_TAKEN' })
  })
})
