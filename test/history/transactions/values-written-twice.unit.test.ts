/** Values that several transactions wrote: what was read does not tell who wrote it, so only what cannot be wrong is said. */
import { describe, expect, it } from 'vitest'
import { checkTransactions } from '../../../src/history/transactions/check-transactions.ts'
import { FAIL, INFO, OK, TransactionHistoryBuilder } from '../../../src/history/transactions/history.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'

interface Operation {
  readonly f: 'r' | 'w' | 'append' | 'list' | 'add' | 'set'
  readonly key: number
  readonly value: number | null | readonly number[]
}

interface Transaction {
  readonly session: number
  readonly status: 'ok' | 'info' | 'fail'
  readonly operations: readonly Operation[]
  /** When it was sent, and when it was answered. */
  readonly interval?: readonly [number, number]
}

/** Is there an order in which each read answers what was last written? Those without an answer may have happened. */
function serializable(all: readonly Transaction[], session: boolean, realTime = false): boolean {
  const go = (left: readonly Transaction[], state: ReadonlyMap<number, unknown>): boolean => {
    if (left.every(({ status }) => status === 'info')) return true
    return left.some((t, at) => {
      const earlier = left.slice(0, at).some((o) => o.session === t.session && o.status === 'ok')
      if (session && earlier) return false
      if (realTime && left.some((o) => o.status === 'ok' && before(o, t))) return false
      const after = new Map(state)
      for (const { f, key, value } of t.operations) {
        const now = after.get(key) ?? (f === 'w' || f === 'r' ? null : [])
        if (f === 'w') after.set(key, value)
        else if (f === 'append') after.set(key, [...(now as number[]), value])
        else if (f === 'add') after.set(key, [...new Set([...(now as number[]), value as number])].sort())
        else if (t.status === 'ok' && JSON.stringify(now) !== JSON.stringify(value)) return false
      }
      return go(left.toSpliced(at, 1), after)
    })
  }
  return go(
    all.filter(({ status }) => status !== 'fail'),
    new Map(),
  )
}

function before({ interval: a }: Transaction, { interval: b }: Transaction): boolean {
  return a !== undefined && b !== undefined && a[1] < b[0]
}

type Kind = 'registers' | 'lists' | 'sets'

function draw(seed: number, kind: Kind): Transaction[] {
  const random = seededRandom(seed)
  const below = (n: number): number => Math.floor(random() * n)
  const operation = (): Operation => {
    const key = below(2)
    const value = 1 + below(2)
    if (below(2) === 0)
      return { f: ({ registers: 'w', lists: 'append', sets: 'add' } as const)[kind], key, value }
    if (kind === 'lists')
      return { f: 'list', key, value: Array.from({ length: below(3) }, () => 1 + below(2)) }
    if (kind === 'sets') return { f: 'set', key, value: [1, 2].filter(() => below(2) === 0) }
    return { f: 'r', key, value: below(3) === 0 ? null : value }
  }
  return Array.from({ length: 1 + below(5) }, () => ({
    session: below(3),
    status: (['ok', 'ok', 'ok', 'ok', 'info', 'fail'] as const)[below(6)] as Transaction['status'],
    operations: Array.from({ length: below(4) }, operation),
  }))
}

function build(all: readonly Transaction[], kind: Kind) {
  const builder = new TransactionHistoryBuilder()
  all.forEach(({ session, status, operations, interval }, at) => {
    builder.begin({
      session,
      status: { ok: OK, info: INFO, fail: FAIL }[status],
      at,
      ...(interval && { invokedAt: interval[0] }),
      ...(interval && status === 'ok' && { completedAt: interval[1] }),
    })
    for (const { f, key, value } of operations) {
      if (f === 'w' || f === 'append' || f === 'add') builder.write(key, value as number)
      else if (f === 'r') builder.read(key, status === 'ok' ? (value as number | null) : undefined)
      else if (status === 'ok') builder.readList(key, value as number[])
    }
  })
  return builder.finish({ definition: 'adya', unit: 'transaction', unordered: kind === 'sets' })
}

/** `HOLDFAST_CHECK_RUNS=100000` makes a campaign of it. */
const runs = Number(process.env.HOLDFAST_CHECK_RUNS ?? 3_000)

const MODELS = { registers: 'rw-register', lists: 'list-append', sets: 'set' } as const

describe.each(['registers', 'lists', 'sets'] as const)('%s', (kind) => {
  it.each(['serializable', 'strong-session-serializable'] as const)('no verdict of %s is wrong', (level) => {
    const seen: Record<string, number> = {}
    for (let seed = 1; seed <= runs; seed++) {
      const all = draw(seed, kind)
      const truth = serializable(all, level !== 'serializable')
      const { verdict, reason } = checkTransactions(build(all, kind), { model: MODELS[kind], level })
      seen[verdict] = (seen[verdict] ?? 0) + 1
      if (verdict === 'unknown') expect(reason).toBeTruthy()
      else expect({ seed, verdict, all }).toMatchObject({ verdict: truth ? 'valid' : 'invalid' })
    }
    expect(Math.min(seen.valid ?? 0, seen.invalid ?? 0)).toBeGreaterThan(runs / 20)
  })

  it.each(['serializable', 'strict-serializable'] as const)(
    'with times, no verdict of %s is wrong, and the strictest level is always decided',
    (level) => {
      const seen: Record<string, number> = {}
      for (let seed = 1; seed <= runs / 3; seed++) {
        const random = seededRandom(seed)
        const all = draw(seed, kind).map((t, session): Transaction => {
          const sent = Math.floor(random() * 8)
          return { ...t, session, interval: [sent, sent + Math.floor(random() * 4)] }
        })
        const truth = serializable(all, false, level === 'strict-serializable')
        const { verdict, anomalies } = checkTransactions(build(all, kind), { model: MODELS[kind], level })
        seen[verdict] = (seen[verdict] ?? 0) + 1
        if (level === 'serializable' && verdict === 'unknown') continue
        expect({ seed, verdict, all }).toMatchObject({ verdict: truth ? 'valid' : 'invalid' })
        expect(anomalies.length > 0).toBe(verdict === 'invalid')
      }
      expect(Math.min(seen.valid ?? 0, seen.invalid ?? 0)).toBeGreaterThan(runs / 60)
    },
  )
})
