import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkHistory } from '../../../src/history/transactions/check.ts'
import {
  type Definition,
  FAIL,
  INFO,
  OK,
  TransactionHistoryBuilder,
} from '../../../src/history/transactions/history.ts'
import { LEVEL_RULES, type Level } from '../../../src/history/transactions/levels.ts'
import {
  axiomatic,
  type SmallOp,
  type SmallTransaction,
  serializable,
  snapshotIsolated,
  withoutCycles,
} from './oracle.ts'

/** `HOLDFAST_CHECK_RUNS=200000` makes a campaign of it. */
const numRuns = Number(process.env.HOLDFAST_CHECK_RUNS ?? 700)
const seed =
  process.env.HOLDFAST_CHECK_SEED === undefined ? undefined : Number(process.env.HOLDFAST_CHECK_SEED)
const settings = { numRuns, ...(seed === undefined ? {} : { seed }) }

interface Shape {
  readonly versions: boolean
  /** Each transaction reads first and writes a key at most once. */
  readonly plain: boolean
  readonly statuses: boolean
  readonly lists: boolean
}

const KEYS = ['x', 'y', 'z']

function arbitrary(shape: Shape): fc.Arbitrary<SmallTransaction[]> {
  const op = fc.record({ write: fc.boolean(), key: fc.nat(2), pick: fc.nat(99) })
  const transaction = fc.record({
    session: fc.constantFrom('A', 'B', 'C'),
    status: shape.statuses
      ? fc.constantFrom('ok' as const, 'ok' as const, 'ok' as const, 'info' as const, 'fail' as const)
      : fc.constant('ok' as const),
    from: fc.nat(20),
    length: fc.nat(10),
    ops: fc.array(op, { minLength: 1, maxLength: 4 }),
  })
  return fc
    .tuple(
      fc.array(transaction, { minLength: 2, maxLength: 4 }),
      fc.array(fc.nat(99), { minLength: 16, maxLength: 16 }),
    )
    .map(([drafts, dice]) => {
      let next = 1
      const written = new Map<string, number[]>()
      const kept = drafts.map((t) => {
        let ops = t.ops
        if (shape.plain) {
          const keys = new Set<number>()
          ops = [
            ...t.ops.filter((o) => !o.write),
            ...t.ops.filter((o) => o.write && !keys.has(o.key) && keys.add(o.key)),
          ]
        }
        return { ...t, ops: ops.map((o) => ({ ...o, value: o.write ? next++ : 0 })) }
      })
      for (const t of kept) {
        for (const o of t.ops) {
          if (!o.write) continue
          const list = written.get(KEYS[o.key] as string) ?? []
          list.push(o.value)
          written.set(KEYS[o.key] as string, list)
        }
      }
      // Version numbers: any order of a key's writes.
      const version = new Map<number, number>()
      for (const values of written.values()) {
        const shuffled = [...values].sort(
          (a, b) => (dice[a % 16] as number) - (dice[b % 16] as number) || a - b,
        )
        for (const [i, v] of shuffled.entries()) version.set(v, i + 1)
      }
      return kept.map((t): SmallTransaction => {
        const ops = t.ops.map((o): SmallOp => {
          const key = KEYS[o.key] as string
          const values = written.get(key) ?? []
          if (o.write) {
            return {
              f: shape.lists ? 'a' : 'w',
              key,
              value: o.value,
              ...(shape.versions ? { version: version.get(o.value) as number } : {}),
            }
          }
          if (shape.lists) {
            const order = [...values].sort(
              (a, b) => (dice[a % 16] as number) - (dice[b % 16] as number) || a - b,
            )
            return { f: 'l', key, value: order.slice(0, o.pick % (values.length + 1)) }
          }
          const own = shape.plain ? t.ops.filter((w) => w.write).map((w) => w.value) : []
          const choices = [null, ...values.filter((v) => !own.includes(v))]
          return { f: 'r', key, value: choices[o.pick % choices.length] as number | null }
        })
        return { session: t.session, status: t.status, interval: [t.from, t.from + t.length], ops }
      })
    })
}

function build(txns: readonly SmallTransaction[], definition: Definition) {
  const builder = new TransactionHistoryBuilder()
  txns.forEach((t, i) => {
    builder.begin({
      session: t.session,
      status: t.status === 'ok' ? OK : t.status === 'fail' ? FAIL : INFO,
      invokedAt: t.interval?.[0] ?? -1,
      completedAt: t.status === 'ok' ? (t.interval?.[1] ?? -1) : -1,
      at: i,
    })
    for (const op of t.ops) {
      if (op.f === 'l') {
        if (t.status === 'ok') builder.readList(op.key, op.value as readonly number[])
      } else if (op.f === 'r')
        builder.read(op.key, t.status === 'ok' ? (op.value as number | null) : undefined)
      else builder.write(op.key, op.value as number, op.version)
    }
  })
  return builder.finish({ definition, unit: 'transaction' })
}

/** Both verdicts must turn up, or the comparison proves little. */
function compare(
  level: Level,
  definition: Definition,
  shape: Shape,
  oracle: (txns: readonly SmallTransaction[], session: boolean) => boolean,
): void {
  const counts = { true: 0, false: 0 }
  const rules = LEVEL_RULES[level]
  const session = rules.session === 'by-definition' ? definition === 'axiomatic' : rules.session
  fc.assert(
    fc.property(arbitrary(shape), (txns) => {
      const truth = oracle(txns, session)
      counts[`${truth}`]++
      const { verdict, anomalies, reason } = checkHistory(build(txns, definition), { level })
      expect({
        verdict,
        reason,
        txns: JSON.stringify(txns),
        said: verdict === 'invalid' ? '' : anomalies,
      }).toMatchObject({
        verdict: truth ? 'valid' : 'invalid',
      })
      if (verdict === 'invalid') expect(anomalies.length).toBeGreaterThan(0)
    }),
    settings,
  )
  expect(counts.true).toBeGreaterThan(numRuns / 100)
  expect(counts.false).toBeGreaterThan(numRuns / 100)
}

const GENERAL = { versions: false, plain: false, statuses: true, lists: false }
const RECORDED = { versions: true, plain: true, statuses: false, lists: false }
const LISTS = { versions: false, plain: false, statuses: true, lists: true }
const PLAIN = { versions: false, plain: true, statuses: false, lists: false }

const searched: [Level, typeof serializable][] = [
  ['serializable', serializable],
  ['repeatable-read', serializable],
  ['strong-session-serializable', serializable],
  ['strict-serializable', serializable],
  ['snapshot-isolation', snapshotIsolated],
  ['strong-session-snapshot-isolation', snapshotIsolated],
  ['strong-snapshot-isolation', snapshotIsolated],
]

describe('the verdict agrees with trying every order', () => {
  for (const [level, oracle] of searched) {
    for (const [name, shape] of Object.entries({
      'order unknown': GENERAL,
      'order recorded': RECORDED,
      lists: LISTS,
    })) {
      it(`${level}, ${name}`, () => {
        const realTime = LEVEL_RULES[level].realTime
        compare(level, 'adya', shape, (txns, session) => oracle(txns, { session, realTime }))
        if (LEVEL_RULES[level].session === 'by-definition') {
          compare(level, 'axiomatic', shape, (txns, session) => oracle(txns, { session, realTime }))
        }
      })
    }
  }
  for (const level of ['read-committed', 'read-atomic', 'causal'] as const) {
    for (const [name, shape] of Object.entries({ 'order unknown': PLAIN, 'order recorded': RECORDED })) {
      it(`${level} by its axiom, ${name}`, () => {
        compare(level, 'axiomatic', shape, (txns, session) => axiomatic(txns, level, session))
      })
    }
  }
  it('read-atomic without the order of sessions', () => {
    compare('read-atomic', 'adya', PLAIN, (txns, session) => axiomatic(txns, 'read-atomic', session))
  })
  it('read-uncommitted and read-committed by Adya, order recorded', () => {
    compare('read-committed', 'adya', RECORDED, (txns) => withoutCycles(txns, true))
    compare('read-uncommitted', 'adya', RECORDED, (txns) => withoutCycles(txns, false))
  })
  it('read-committed by Adya, order unknown', () => {
    compare('read-committed', 'adya', PLAIN, (txns) => withoutCycles(txns, true))
  })
})
