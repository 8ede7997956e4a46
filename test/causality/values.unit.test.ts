import { describe, expect, it } from 'vitest'
import {
  growCounter,
  lastWriterWins,
  mergeable,
  multiValue,
  observedRemoveMap,
  observedRemoveSet,
  sameState,
  upDownCounter,
} from '../../src/causality/index.ts'

const bytes = (json: unknown) => Buffer.byteLength(JSON.stringify(json))

describe('the multi-value register', () => {
  const register = multiValue<string>()

  it('keeps both of two writes that had not seen each other, until one has seen both', () => {
    const start = register.write(register.empty, 'a', 'draft')
    const left = register.write(start, 'a', 'left')
    const right = register.write(start, 'b', 'right')
    const both = register.merge(left, right)
    expect(register.values(both)).toEqual(['left', 'right'])
    expect(register.values(register.write(both, 'c', 'settled'))).toEqual(['settled'])
    expect(register.values(register.merge(register.write(both, 'c', 'settled'), right))).toEqual(['settled'])
  })

  it('keeps a value that the writer had not seen, though it was written here', () => {
    const start = register.write(register.empty, 'a', 'draft')
    const mine = register.write(start, 'a', 'mine', start.context)
    const theirs = register.write(mine, 'a', 'theirs', start.context)
    expect(register.values(theirs)).toEqual(['mine', 'theirs'])
  })

  it('of a removal and a write that had not seen each other keeps the write', () => {
    const start = register.write(register.empty, 'a', 'draft')
    const merged = register.merge(register.clear(start, 'a'), register.write(start, 'b', 'kept'))
    expect(register.values(merged)).toEqual(['kept'])
    expect(register.values(register.merge(register.clear(start, 'a'), start))).toEqual([])
  })

  it('cannot be changed through the object that was written', () => {
    const given = { items: ['one'] }
    const written = multiValue<typeof given>().write(multiValue<typeof given>().empty, 'a', given)
    given.items.push('two')
    expect(written.alive[0]?.value).toEqual({ items: ['one'] })
  })
})

describe('the observed-remove set', () => {
  const set = observedRemoveSet<unknown>()

  it('lets an addition stand against a removal that had not seen it', () => {
    const start = set.add(set.empty, 'a', 'milk')
    const merged = set.merge(set.remove(start, 'a', 'milk'), set.add(start, 'b', 'milk'))
    expect(set.elements(merged)).toEqual(['milk'])
  })

  it('finds an element whatever the order of its members', () => {
    const state = set.add(set.empty, 'a', { dish: 1, size: 'L' })
    expect(set.has(state, { size: 'L', dish: 1 })).toBe(true)
    expect(set.elements(set.remove(state, 'a', { size: 'L', dish: 1 }))).toEqual([])
  })

  it('does not grow with what was removed', () => {
    let state = set.empty
    for (let i = 0; i < 2000; i++) {
      state = set.add(state, `replica ${i % 4}`, `element ${i}`)
      state = set.remove(state, `replica ${(i + 1) % 4}`, `element ${i}`)
    }
    expect(set.encode(state)).toEqual({
      context: [0, 1, 2, 3].map((i) => [`replica ${i}`, 1000]),
      entries: [],
    })
  })
})

describe('the observed-remove map', () => {
  const map = observedRemoveMap(upDownCounter)
  const count = (state: typeof map.empty, replica: string, by: number) =>
    map.update(state, replica, 'votes', (value) => upDownCounter.add(value, replica, by))
  const votes = (state: typeof map.empty) => {
    const value = map.get(state, 'votes')
    return value && upDownCounter.total(value)
  }

  it('adds what was counted apart', () => {
    const start = count(map.empty, 'a', 5)
    expect(votes(map.merge(count(start, 'a', 1), count(start, 'b', 2)))).toBe(8n)
  })

  it('takes away what the removal had seen, and keeps a concurrent update whole', () => {
    const start = count(map.empty, 'a', 5)
    const removed = map.remove(start, 'a', 'votes')
    expect(map.keys(map.merge(removed, start))).toEqual([])
    expect(votes(map.merge(removed, count(start, 'b', 2)))).toBe(7n)
  })

  it('shows the larger of a replica’s two counts after a removal that another replica had not seen', () => {
    const start = count(map.empty, 'a', 5)
    const again = count(map.remove(start, 'a', 'votes'), 'a', 1)
    expect(votes(map.merge(again, count(start, 'b', 2)))).toBe(7n)
  })

  it('takes keys that objects do not', () => {
    const state = map.update(map.empty, 'a', '__proto__', (value) => upDownCounter.add(value, 'a', 1))
    const copy = map.decode(JSON.parse(JSON.stringify(map.encode(state))))
    expect(map.keys(copy)).toEqual(['__proto__'])
  })

  it.each(['', 'a\0b', '\ud800', 'k'.repeat(1001), 7])('refuses the key %j', (key) => {
    expect(() => map.update(map.empty, 'a', key as string, (value) => value)).toThrow(
      expect.objectContaining({ code: 'PAYLOAD_INVALID' }),
    )
  })
})

describe('counters', () => {
  it('go past 2^53 in total and refuse it in one count', () => {
    const most = Number.MAX_SAFE_INTEGER
    const state = growCounter.increment(growCounter.increment(growCounter.empty, 'a', most), 'b', most)
    expect(growCounter.total(state)).toBe(2n * BigInt(most))
    expect(() => growCounter.increment(state, 'a')).toThrow(/would pass 2\^53 - 1/)
  })

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])('refuse to grow by %d', (by) => {
    expect(() => growCounter.increment(growCounter.empty, 'a', by)).toThrow(/whole number/)
  })

  it.each([0, 0.5, Number.NaN, Number.NEGATIVE_INFINITY])('refuse to go by %d', (by) => {
    expect(() => upDownCounter.add(upDownCounter.empty, 'a', by)).toThrow(/whole number/)
  })
})

describe('sizes as the bounds say', () => {
  const replicas = Array.from({ length: 64 }, (_, i) => `r${String(i).padStart(2, '0')}`)

  it('a register that all replicas wrote one after another: one value, one count each', () => {
    const register = multiValue<string>()
    const state = replicas.reduce((s, replica) => register.write(s, replica, 'value'), register.empty)
    expect([state.alive.length, state.context.size]).toEqual([1, 64])
    expect(bytes(register.encode(state))).toBeLessThan(64 * 12 + 100)
  })

  it('a register that is written without saying what was seen: one sibling per write', () => {
    const register = multiValue<string>()
    let state = register.empty
    for (let i = 0; i < 10; i++) state = register.write(state, 'a', `${i}`, new Map())
    expect(state.alive).toHaveLength(10)
  })
})

describe('states from outside that are refused', () => {
  const register = multiValue<string>()
  const set = observedRemoveSet<string>()
  it.each([
    ['no object', register, []],
    ['a missing member', register, { context: [] }],
    ['a member too many', register, { context: [], alive: [], more: 1 }],
    ['a dot that the context has not seen', register, { context: [['a', 1]], alive: [['a', 2, 'x']] }],
    ['a dot twice', register, { context: [['a', 1]], alive: [['a', 1, 'x'], ['a', 1, 'y']] }], // biome-ignore format: a row
    ['a key twice', set, { context: [['a', 1]], entries: [['"x"', [['a', 1, 'x']]], ['"x"', [['a', 1, 'x']]]] }], // biome-ignore format: a row
    ['a key without a dot', set, { context: [], entries: [['"x"', []]] }],
    ['an element under another text', set, { context: [['a', 1]], entries: [['"x"', [['a', 1, 'y']]]] }],
    ['a count of 0', growCounter, [['a', 0]]],
    ['half a counter', upDownCounter, { ups: [] }],
    ['a stamp that is none', lastWriterWins(), { stamp: 'now', value: 1 }],
  ])('%s', (_, kind, json) => {
    expect(() => (kind as typeof register).decode(json)).toThrow(
      expect.objectContaining({ code: 'PAYLOAD_INVALID' }),
    )
  })
})

describe('values that cannot be kept are refused before anything changes', () => {
  const cyclic: Record<string, unknown> = {}
  cyclic.self = cyclic
  it.each([1n, undefined, Number.NaN, new Map(), cyclic, 'a\0b', 'x'.repeat(1_048_577)])('%#', (value) => {
    expect(() => multiValue<unknown>().write(multiValue<unknown>().empty, 'a', value)).toThrow(
      expect.objectContaining({ code: 'PAYLOAD_INVALID', outcome: 'not-applied' }),
    )
  })
})

describe('a kind of your own', () => {
  it('needs a merge and a name', () => {
    expect(() => mergeable({ kind: 'Bad Name', merge: 7, join: 1 } as never)).toThrow(
      /unknown option "join".*kind must be.*empty is missing.*merge must be a function/,
    )
  })

  it('is JSON as it is, unless it says how', () => {
    const largest = mergeable<number>({ kind: 'largest', empty: 0, merge: Math.max })
    expect(sameState(largest, largest.merge(1, 2), largest.decode(largest.encode(2)))).toBe(true)
  })
})
