import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeContext, encodeContext, standing } from '../../src/replica/context.ts'
import { readRecord } from '../../src/replica/policy.ts'
import { type RecordState, recordState, writeRecord } from '../../src/replica/record.ts'

const RECORD = { collection: 'c', key: 'k' }
const REPLICAS = ['a', 'b', 'c'] as const

type Step =
  | { readonly kind: 'write'; readonly at: number; readonly deletes: boolean; readonly nowMs: number }
  | { readonly kind: 'send'; readonly from: number; readonly to: number }

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('write' as const),
      at: fc.nat(2),
      deletes: fc.boolean(),
      nowMs: fc.nat(3), // clocks that stand still, so that stamps tie
    }),
    fc.record({ kind: fc.constant('send' as const), from: fc.nat(2), to: fc.nat(2) }),
  ),
  { maxLength: 30 },
)

/** Three copies of a record after these steps. */
function play(all: readonly Step[]): RecordState[] {
  const copies: RecordState[] = REPLICAS.map(() => recordState.empty)
  all.forEach((step, i) => {
    if (step.kind === 'send') {
      copies[step.to] = recordState.merge(copies[step.to] as RecordState, copies[step.from] as RecordState)
      return
    }
    copies[step.at] = writeRecord(copies[step.at] as RecordState, {
      replica: REPLICAS[step.at] as string,
      nowMs: step.nowMs,
      value: step.deletes ? undefined : { json: `w${i}` },
      countFloor: 0,
    })
  })
  return copies
}

const POLICIES = {
  'last-writer-wins': 'last-writer-wins',
  'multi-value': 'multi-value',
  // in no way commutative or associative
  own: (versions: readonly { value: unknown }[]) => versions.map(({ value }) => value).join('>'),
} as const

describe('a record', () => {
  it.each(Object.entries(POLICIES))('reads the same in whatever order copies meet, under %s', (_, policy) => {
    fc.assert(
      fc.property(steps, fc.shuffledSubarray([0, 1, 2], { minLength: 3 }), (all, order) => {
        const copies = play(all)
        const meet = (indices: readonly number[]) =>
          indices.map((i) => copies[i] as RecordState).reduce((a, b) => recordState.merge(a, b))
        expect(readRecord(meet(order), policy as never)).toEqual(readRecord(meet([0, 1, 2]), policy as never))
      }),
    )
  })

  it('a write that has seen another one is later than it, whatever the clocks say', () => {
    fc.assert(
      fc.property(steps, fc.nat(3), (all, nowMs) => {
        const state = play(all).reduce((a, b) => recordState.merge(a, b))
        const after = writeRecord(state, { replica: 'a', nowMs, value: { json: 'last' }, countFloor: 0 })
        expect(after.alive).toHaveLength(1)
        const instant = (at: string | undefined) => (at ?? '').slice(0, 17)
        for (const { value } of state.alive)
          expect(instant(after.alive[0]?.value.at) > instant(value.at)).toBe(true)
      }),
    )
  })

  it('equal contexts are equal states', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const texts = new Map<string, string>()
        for (const copy of play(all)) {
          const { context, alive } = recordState.encode(copy) as { context: unknown; alive: unknown }
          const before = texts.get(JSON.stringify(context))
          if (before !== undefined) expect(JSON.stringify(alive)).toBe(before)
          texts.set(JSON.stringify(context), JSON.stringify(alive))
        }
      }),
    )
  })

  it('has as many versions as members that wrote apart, at most', () => {
    fc.assert(fc.property(steps, (all) => play(all).every(({ alive }) => alive.length <= REPLICAS.length)))
  })

  it('a dot is above the floor of what was pruned', () => {
    const state = writeRecord(recordState.empty, {
      replica: 'a',
      nowMs: 1,
      value: { json: 1 },
      countFloor: 41,
    })
    expect(state.alive).toMatchObject([{ replica: 'a', count: 42 }])
  })
})

describe('a context', () => {
  it('comes back as it was, and for its own record only', () => {
    const vector = new Map([
      ['a', 2],
      ['ü"\u2028', 9_007_199_254_740_991],
    ])
    const text = encodeContext(RECORD, vector)
    expect(text).toMatch(/^[\w.-]+$/)
    expect(decodeContext(RECORD, text)).toEqual(vector)
    expect(() => decodeContext({ ...RECORD, key: 'other' }, text)).toThrow(/another record/)
    fc.assert(
      fc.property(fc.string(), (made) => {
        expect(() => decodeContext(RECORD, made)).toThrow(
          expect.objectContaining({ code: 'PAYLOAD_INVALID' }),
        )
      }),
    )
  })

  it.each([
    [{ a: 2 }, { a: 2 }, {}, 'covers'],
    [{ a: 1 }, { a: 2 }, {}, 'stale'],
    [{ a: 3 }, { a: 2 }, {}, 'ahead'],
    [{ a: 1, b: 1 }, { a: 2 }, {}, 'ahead'],
    [{ a: 3 }, {}, { a: 3 }, 'covers'],
    [{ a: 1, b: 1 }, { a: 2 }, { b: 4 }, 'stale'],
  ])('%j, where %j is here and %j was pruned, %s', (past, here, floors, wanted) => {
    const vector = (counts: Record<string, number>) => new Map(Object.entries(counts))
    expect(standing(vector(past as never), vector(here as never), vector(floors as never))).toBe(wanted)
  })
})
