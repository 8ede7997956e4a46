import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bumpVector,
  compareVectors,
  compareVersions,
  decodeVector,
  dottedVersion,
  emptyVector,
  encodeVector,
  includesDot,
  mergeVectors,
  nextDot,
} from '../../src/causality/index.ts'

const vector = (counts: Record<string, number>) => new Map(Object.entries(counts))
const vectors = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', '__proto__'), fc.integer({ min: 1, max: 3 }))
  .map((counts) => new Map(Object.entries(counts)))

describe('version vectors', () => {
  it.each([
    [{}, {}, 'equal'],
    [{ a: 1 }, {}, 'after'],
    [{}, { a: 1 }, 'before'],
    [{ a: 1, b: 2 }, { a: 1, b: 2 }, 'equal'],
    [{ a: 1, b: 2 }, { a: 2, b: 2 }, 'before'],
    [{ a: 3, b: 2 }, { a: 2, b: 2 }, 'after'],
    [{ a: 1 }, { b: 1 }, 'concurrent'],
    [{ a: 2, b: 1 }, { a: 1, b: 2 }, 'concurrent'],
    [{ a: 2 ** 31 + 1 }, { a: 2 ** 31 }, 'after'],
    [{ a: 2 ** 53 - 2 }, { a: 2 ** 53 - 1 }, 'before'],
  ] as const)('%o to %o is %s', (a, b, order) => {
    expect(compareVectors(vector(a), vector(b))).toBe(order)
  })

  it('merge to the least vector that has seen what both have', () => {
    fc.assert(
      fc.property(vectors, vectors, vectors, (a, b, c) => {
        const merged = mergeVectors(a, b)
        expect(['before', 'equal']).toContain(compareVectors(a, merged))
        expect(['before', 'equal']).toContain(compareVectors(b, merged))
        if (covers(c, a) && covers(c, b)) expect(covers(c, merged)).toBe(true)
        expect(encodeVector(merged)).toEqual(encodeVector(mergeVectors(b, a)))
      }),
    )
  })

  it('are not changed by bump and merge', () => {
    const before = vector({ a: 1 })
    expect(encodeVector(bumpVector(before, 'a'))).toEqual([['a', 2]])
    mergeVectors(before, vector({ b: 1 }))
    expect(encodeVector(before)).toEqual([['a', 1]])
  })

  it('hold one entry for each replica that wrote, however often', () => {
    let written = emptyVector
    for (let i = 0; i < 1000; i++) written = bumpVector(written, `replica ${i % 8}`)
    expect(written.size).toBe(8)
  })

  it('come back from their text, and equal vectors have equal text', () => {
    fc.assert(
      fc.property(vectors, (a) => {
        const text = JSON.stringify(encodeVector(a))
        expect(compareVectors(decodeVector(JSON.parse(text)), a)).toBe('equal')
        expect(JSON.stringify(encodeVector(new Map([...a].reverse())))).toBe(text)
      }),
    )
  })

  it.each([
    null,
    {},
    'a:1',
    [['a']],
    [['a', 1, 2]],
    [['a', 0]],
    [['a', -1]],
    [['a', 1.5]],
    [['a', 2 ** 53]],
    [['a', '1']],
    [['', 1]],
    [['a\0', 1]],
    [[7, 1]],
    [['a', 1], ['a', 2]], // biome-ignore format: a row is a case
    [['b', 1], ['a', 2]], // biome-ignore format: a row is a case
  ])('refuse %j from outside', (json) => {
    expect(() => decodeVector(json)).toThrow(expect.objectContaining({ code: 'PAYLOAD_INVALID' }))
  })

  it('refuse a bad name and a count past 2^53 - 1', () => {
    expect(() => bumpVector(emptyVector, '')).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    expect(() => nextDot(vector({ a: Number.MAX_SAFE_INTEGER }), 'a')).toThrow(/2\^53 - 1/)
  })
})

describe('dotted versions', () => {
  it('of two clients that write through one server are concurrent, as a vector of servers cannot say', () => {
    const first = dottedVersion('server', { past: emptyVector, known: emptyVector })
    const second = dottedVersion('server', { past: emptyVector, known: vector({ server: 1 }) })
    expect(compareVersions(first, second)).toBe('concurrent')
    const joined = dottedVersion('server', { past: vector({ server: 2 }), known: vector({ server: 2 }) })
    expect(compareVersions(first, joined)).toBe('before')
    expect(compareVersions(joined, second)).toBe('after')
    expect(compareVersions(joined, joined)).toBe('equal')
    expect(includesDot(joined.past, second.dot)).toBe(true)
  })
})

function covers(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return [...b].every(([replica, count]) => (a.get(replica) ?? 0) >= count)
}
