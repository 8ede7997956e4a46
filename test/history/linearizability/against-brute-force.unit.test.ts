import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkLinearizable } from '../../../src/history/linearizability/check.ts'
import { type LinearizableModel, linearizableModel } from '../../../src/history/linearizability/models.ts'
import { type Operation, pairOperations } from '../../../src/history/linearizability/operation.ts'
import type { HistoryEvent } from '../../../src/history/operation.ts'
import { linearizableByForce } from './brute-force.ts'

/** Drawn for one operation: who, what, with what answer, and how it ends. */
interface Drawn {
  readonly f: string
  readonly value: unknown
  readonly answer: unknown
  readonly info: boolean
}

interface Case {
  readonly model: LinearizableModel
  /** Each added, enqueued or written value once, which is what the fast ways are for. */
  readonly unique: boolean
  readonly operations: fc.Arbitrary<{ f: string; value: unknown; answer: unknown }>
}

const small = fc.integer({ min: 1, max: 3 })
const maybe = fc.option(small, { nil: null })
const op = (
  f: string,
  value: fc.Arbitrary<unknown>,
  answer?: fc.Arbitrary<unknown>,
): fc.Arbitrary<{ f: string; value: unknown; answer: unknown }> =>
  fc.record({ f: fc.constant(f), value, answer: answer ?? fc.constant(undefined) })
const none = fc.constant(null)
const subset = fc.subarray([1, 2, 3, 4])
/** Asks and answers of a transaction over two registers. */
const txn = fc
  .array(fc.tuple(fc.constantFrom('r', 'w'), fc.constantFrom('x', 'y'), small, maybe), {
    minLength: 1,
    maxLength: 3,
  })
  .map((micros) => ({
    f: 'txn',
    value: micros.map(([f, key, value]) => [f, key, f === 'r' ? null : value]),
    answer: micros.map(([f, key, value, read]) => [f, key, f === 'r' ? read : value]),
  }))

const cases: readonly Case[] = [
  { model: 'register', unique: false, operations: fc.oneof(op('read', none, maybe), op('write', small)) },
  { model: 'register', unique: true, operations: fc.oneof(op('read', none, maybe), op('write', small)) },
  {
    model: 'cas-register',
    unique: false,
    operations: fc.oneof(
      op('read', none, maybe),
      op('write', small),
      op('cas', fc.tuple(maybe, small), fc.constantFrom(undefined, false)),
    ),
  },
  { model: 'multi-register', unique: false, operations: txn },
  {
    model: 'kv',
    unique: false,
    operations: fc.oneof(
      op('get', none, fc.constantFrom(null, 'a', 'b', 'ab', 'ba', 'aa')),
      op('put', fc.constantFrom('a', 'b')),
      op('append', fc.constantFrom('a', 'b')),
      op('delete', none),
      op(
        'cas',
        fc.tuple(fc.constantFrom('a', 'ab'), fc.constantFrom('a', 'b')),
        fc.constantFrom(undefined, false),
      ),
    ),
  },
  { model: 'queue', unique: false, operations: fc.oneof(op('enqueue', small), op('dequeue', none, maybe)) },
  { model: 'queue', unique: true, operations: fc.oneof(op('enqueue', small), op('dequeue', none, maybe)) },
  { model: 'stack', unique: true, operations: fc.oneof(op('push', small), op('pop', none, maybe)) },
  { model: 'stack', unique: false, operations: fc.oneof(op('push', small), op('pop', none, maybe)) },
  {
    model: 'set',
    unique: false,
    operations: fc.oneof(
      op('add', small, fc.constantFrom(undefined, true, false)),
      op('remove', small),
      op('contains', small, fc.boolean()),
      op('read', none, subset),
    ),
  },
  {
    model: 'set',
    unique: false,
    operations: fc.oneof(op('add', small), op('remove', small), op('contains', small, fc.boolean())),
  },
  { model: 'set', unique: true, operations: fc.oneof(op('add', small), op('read', none, subset)) },
  {
    model: 'counter',
    unique: false,
    operations: fc.oneof(
      op('read', none, fc.integer({ min: -1, max: 4 })),
      op('increment', none),
      op('add', small),
    ),
  },
  {
    model: 'lock',
    unique: false,
    operations: fc.oneof(op('acquire', none, fc.constantFrom(undefined, false)), op('release', none)),
  },
  {
    model: 'mutex',
    unique: false,
    operations: fc.oneof(op('acquire', none, fc.constantFrom(undefined, false)), op('release', none)),
  },
  {
    model: 'fenced-lock',
    unique: false,
    operations: fc.oneof(op('acquire', none, small), op('release', none)),
  },
]

const PROCESSES = 3

/** Draws who is next over and over; a process that has an operation under way ends it. */
function build(drawn: readonly Drawn[], order: readonly number[], unique: boolean): HistoryEvent[] {
  const events: HistoryEvent[] = []
  const under = new Map<number, Drawn>()
  // A process whose operation has no answer is gone; another takes its place.
  const names = Array.from({ length: PROCESSES }, (_, i) => i)
  let fresh = PROCESSES
  let next = 0
  let values = 0
  for (const turn of order) {
    const slot = turn % PROCESSES
    const process = names[slot] as number
    const current = under.get(slot)
    if (current === undefined) {
      let begun = drawn[next++]
      if (begun === undefined) continue
      if (unique && begun.value !== null) begun = { ...begun, value: ++values }
      under.set(slot, begun)
      events.push({ type: 'invoke', process, f: begun.f, value: begun.value })
    } else {
      under.delete(slot)
      if (current.info) {
        events.push({ type: 'info', process, f: current.f })
        names[slot] = fresh++
      } else if (current.answer === false || typeof current.answer === 'boolean') {
        events.push({ type: 'ok', process, f: current.f, result: current.answer })
      } else if (current.answer === undefined) events.push({ type: 'ok', process, f: current.f })
      else events.push({ type: 'ok', process, f: current.f, value: current.answer })
    }
  }
  return events
}

/** `HOLDFAST_CHECK_RUNS=200000` makes a campaign of it. */
const seed = Number(process.env.HOLDFAST_CHECK_SEED ?? 20_261_126)
const runs = Number(process.env.HOLDFAST_CHECK_RUNS ?? 1_500)

describe('the checker agrees with trying every order', () => {
  it.each(cases.map((c) => [`${c.model}${c.unique ? ', unique values' : ''}`, c] as const))(
    '%s',
    (_, { model, unique, operations }) => {
      const drawn = fc.array(
        operations.chain((o) => fc.boolean().chain((a) => fc.boolean().map((b) => ({ ...o, info: a && b })))),
        { minLength: 1, maxLength: 7 },
      )
      const order = fc.array(fc.nat({ max: PROCESSES - 1 }), { minLength: 8, maxLength: 18 })
      const seen = { valid: 0, invalid: 0 }
      fc.assert(
        fc.property(drawn, order, (all, turns) => {
          const events = build(all, turns, unique)
          const paired: Operation[] = pairOperations(events)
          const byForce = (until: number): boolean =>
            linearizableByForce(pairOperations(events.slice(0, until)), linearizableModel(model))
          const expected = linearizableByForce(paired, linearizableModel(model)) ? 'valid' : 'invalid'
          seen[expected]++
          for (const fast of [true, false]) {
            const { verdict, anomalies } = checkLinearizable(paired, { model, fast })
            expect(verdict).toBe(expected)
            for (const { prefix } of anomalies) {
              // Elements of a set are checked each for itself, so of those only the order with the answer says something.
              const until = prefix?.before.completedAt
              if (until === undefined) continue
              if (model !== 'set') expect(byForce(until)).toBe(true)
              expect(byForce(until + 1)).toBe(false)
            }
          }
          // Where the search gives up, what is seen without it must hold all the same.
          expect([expected, 'unknown']).toContain(
            checkLinearizable(paired, { model, configurationsMax: 1 }).verdict,
          )
        }),
        { seed, numRuns: runs },
      )
      // Neither answer may be rare, or the comparison says little.
      expect(Math.min(seen.valid, seen.invalid)).toBeGreaterThan(runs / 30)
    },
  )
})
