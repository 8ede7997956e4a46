import { fulfilsIfMatch, mergeFields, parseIfMatch, toEtag } from 'holdfast/version'
import { describe, expect, it } from 'vitest'
import { nextInstant } from '../../src/version/version.ts'

describe('mergeFields', () => {
  const base = { name: 'a', price: 1, tags: ['x'] }
  it('changes of different columns both stand', () => {
    const changes = mergeFields({ base, mine: { ...base, name: 'b' }, theirs: { ...base, price: 2 } })
    expect(changes).toEqual({ name: 'b' })
  })
  it('the same change on both sides is one, and nothing is left to write', () => {
    expect(mergeFields({ base, mine: { price: 2 }, theirs: { ...base, price: 2 } })).toEqual({})
  })
  it('a column that is not in mine, or equal in content, counts as unchanged', () => {
    expect(mergeFields({ base, mine: { tags: ['x'] }, theirs: { ...base, name: 'c' } })).toEqual({})
  })
  it('different changes of one column are refused, with all their names', () => {
    const theirs = { name: 'c', price: 3, tags: ['x'] }
    expect(() => mergeFields({ base, mine: { name: 'b', price: 2 }, theirs })).toThrow(
      expect.objectContaining({ code: 'MERGE_CONFLICT', columns: ['name', 'price'] }),
    )
  })
  it('or decided by onConflict', () => {
    const sides = { base, mine: { price: 4 }, theirs: { ...base, price: 9 } }
    expect(mergeFields(sides, { onConflict: (_c, { mine }) => mine as number })).toEqual({ price: 4 })
    expect(mergeFields(sides, { onConflict: (_c, { theirs }) => theirs as number })).toEqual({})
  })
  it('setting to null is a change', () => {
    expect(mergeFields({ base, mine: { name: null }, theirs: base })).toEqual({ name: null })
  })
})

describe('entity tags', () => {
  it.each([
    [undefined, { kind: 'absent' }],
    ['  ', { kind: 'absent' }],
    ['*', { kind: 'any' }],
    ['"1"', { kind: 'tags', tags: [{ value: '1', weak: false }] }],
    ['W/"1"', { kind: 'tags', tags: [{ value: '1', weak: true }] }],
    [
      '"a,b" ,, W/"2","3" ',
      {
        kind: 'tags',
        tags: [
          { value: 'a,b', weak: false },
          { value: '2', weak: true },
          { value: '3', weak: false },
        ],
      },
    ],
    ['""', { kind: 'tags', tags: [{ value: '', weak: false }] }],
  ])('%j is read', (header, expected) => {
    expect(parseIfMatch(header)).toEqual(expected)
  })

  it.each([['1'], ['"1'], ['"1" "2"'], ['w/"1"'], ['"1", *'], ['*, "1"'], ['"a b"'], ['"1"x']])(
    '%j is refused',
    (header) => {
      expect(() => parseIfMatch(header)).toThrow(expect.objectContaining({ code: 'PAYLOAD_INVALID' }))
    },
  )

  it('is found again, above 2^53 and for a timestamp too', () => {
    for (const version of [1n, 2n ** 53n + 1n, '2024-05-06 07:08:09.123456+00']) {
      expect(fulfilsIfMatch(parseIfMatch(toEtag(version)), version)).toBe(true)
      expect(fulfilsIfMatch(parseIfMatch(`"other", ${toEtag(version)}`), version)).toBe(true)
      expect(fulfilsIfMatch(parseIfMatch(`W/${toEtag(version)}`), version)).toBe(false)
      expect(fulfilsIfMatch(parseIfMatch('"other"'), version)).toBe(false)
    }
  })

  it('any needs a row; absent is fulfilled', () => {
    expect(fulfilsIfMatch(parseIfMatch('*'), undefined)).toBe(false)
    expect(fulfilsIfMatch(parseIfMatch('*'), 1n)).toBe(true)
    expect(fulfilsIfMatch(parseIfMatch(undefined), undefined)).toBe(true)
  })
})

describe('the next instant', () => {
  const nowMs = Date.UTC(2024, 0, 1)
  it.each([
    ['2023-12-31 23:59:59.5+00', '2024-01-01T00:00:00.000Z'],
    ['2024-01-01 00:00:00.000999+00', '2024-01-01T00:00:00.001Z'], // the clock stands still
    ['2024-01-01 05:30:00+05:30', '2024-01-01T00:00:00.001Z'],
    ['2024-01-01 00:00:07', '2024-01-01T00:00:07.001Z'], // without a zone; the clock went back
    ['2024-01-01T00:00:07.001Z', '2024-01-01T00:00:07.002Z'],
    ['not a date', '2024-01-01T00:00:00.000Z'],
  ])('after %j comes %j', (previous, next) => {
    expect(nextInstant(previous, nowMs)).toBe(next)
  })
})
