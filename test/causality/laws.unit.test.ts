import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  compareVectors,
  growCounter,
  lastWriterWins,
  type Mergeable,
  mergeable,
  multiValue,
  observedRemoveMap,
  observedRemoveSet,
  upDownCounter,
} from '../../src/causality/index.ts'
import { assertMergeLaws, brokenMergeLaw } from '../../src/testing/index.ts'

/** A kind with its operations: how a run of random ones is made. */
interface Case<S, Op> {
  readonly kind: Mergeable<S>
  readonly operations: fc.Arbitrary<Op>
  readonly apply: (state: S, replica: string, op: Op) => S
}
const define = <S, Op>(given: Case<S, Op>): Case<S, Op> => given

const few = fc.constantFrom('x', 'y', 'z')
// few instants and few names, so that equal stamps with different values do come
const stamps = fc.record({
  wallMs: fc.nat({ max: 1 }),
  logical: fc.nat({ max: 1 }),
  replica: fc.constantFrom('a', 'b'),
})
const register = lastWriterWins<string>()
const siblings = multiValue<string>()
const set = observedRemoveSet<string>()
const counters = observedRemoveMap(upDownCounter)
const nested = observedRemoveMap(observedRemoveMap(register))
const largest = mergeable<number>({ kind: 'largest', empty: 0, merge: Math.max })

const cases = {
  'grow counter': define({
    kind: growCounter,
    operations: fc.integer({ min: 1, max: 3 }),
    apply: growCounter.increment,
  }),
  'up-down counter': define({
    kind: upDownCounter,
    operations: fc.constantFrom(-2, -1, 1, 2),
    apply: upDownCounter.add,
  }),
  'last writer wins': define({
    kind: register,
    operations: fc.tuple(stamps, few),
    apply: (state, _, [stamp, value]) => register.write(state, stamp, value),
  }),
  'multi-value register': define({
    kind: siblings,
    operations: fc.tuple(fc.constantFrom('write', 'blind write', 'clear'), few),
    apply(state, replica, [what, value]) {
      if (what === 'clear') return siblings.clear(state, replica)
      return siblings.write(state, replica, value, what === 'write' ? state.context : new Map())
    },
  }),
  'observed-remove set': define({
    kind: set,
    operations: fc.tuple(fc.boolean(), few),
    apply: (state, replica, [adds, element]) => (adds ? set.add : set.remove)(state, replica, element),
  }),
  'observed-remove map of counters': define({
    kind: counters,
    operations: fc.tuple(fc.constantFrom(0, 1, -1), few),
    apply: (state, replica, [by, key]) =>
      by === 0
        ? counters.remove(state, replica, key)
        : counters.update(state, replica, key, (value) => upDownCounter.add(value, replica, by)),
  }),
  'observed-remove map of maps of registers': define({
    kind: nested,
    operations: fc.tuple(fc.boolean(), few, few, stamps),
    apply: (state, replica, [removes, outer, inner, stamp]) =>
      removes
        ? nested.remove(state, replica, outer)
        : nested.update(state, replica, outer, (map) =>
            observedRemoveMap(register).update(map, replica, inner, (value) =>
              register.write(value, stamp, inner),
            ),
          ),
  }),
  'custom: the larger number': define({
    kind: largest,
    operations: fc.nat({ max: 5 }),
    apply: (state, _, op) => Math.max(state, op),
  }),
}

describe('the laws of merging hold for', () => {
  for (const [name, given] of Object.entries(cases))
    it(name, () => {
      assertMergeLaws(fc, given as Case<unknown, unknown>, { numRuns: 300 })
    })
})

describe('the law kit finds', () => {
  const broken = <S, Op>(given: Case<S, Op>, changed: Partial<Mergeable<S>>): Case<S, Op> => ({
    ...given,
    kind: { ...given.kind, ...changed },
  })
  const wrong: [string, Case<never, never>, RegExp][] = [
    [
      'a tie that each side breaks for itself',
      broken(cases['last writer wins'], {
        compare: undefined as never,
        merge: (a, b) => (a === null || (b !== null && b.stamp.wallMs > a.stamp.wallMs) ? b : a),
      }) as never,
      /not commutative/,
    ],
    [
      'a sum that counts a merge twice',
      broken(cases['grow counter'], {
        merge: (a, b) => {
          const sum = new Map(a)
          for (const [replica, count] of b) sum.set(replica, count + (a.get(replica) ?? 0))
          return sum
        },
      }) as never,
      /not idempotent/,
    ],
    [
      'a set that forgets what it has seen, so that what was removed comes back',
      broken(cases['observed-remove set'], {
        compare: undefined as never,
        merge: (a, b) => ({
          context: set.merge(a, b).context,
          entries: new Map([...a.entries, ...b.entries]),
        }),
      }) as never,
      /not (inflation|commutative|monotone|associative)/,
    ],
    [
      'an average',
      { kind: mergeable({ kind: 'average', empty: 0, merge: (a: number, b: number) => (a + b) / 2 }), operations: fc.nat({ max: 5 }), apply: (_: number, __: string, op: number) => op } as never, // biome-ignore format: one case
      /not (identity|inflation|associative)/,
    ],
    [
      'an order that calls concurrent states equal',
      broken(cases['multi-value register'], {
        compare: (a, b) => {
          const order = compareVectors(a.context, b.context)
          return order === 'concurrent' ? 'equal' : order
        },
      }) as never,
      /not order/,
    ],
    [
      'an encoding that drops a part',
      broken(cases['up-down counter'], {
        decode: (json) => ({ ...upDownCounter.decode(json), downs: new Map() }),
      }) as never,
      /not (encoding|idempotent)/,
    ],
  ]
  it.each(wrong)('%s', (_, given, law) => {
    expect(() => assertMergeLaws(fc, given, { numRuns: 300 })).toThrow(law)
  })

  it('and takes states one by one, without fast-check', () => {
    expect(brokenMergeLaw(largest, [0, 1, 5])).toBeUndefined()
    expect(brokenMergeLaw({ ...largest, merge: (a) => a }, [0, 1])).toMatchObject({
      law: 'identity',
      states: ['1'],
    })
  })
})
