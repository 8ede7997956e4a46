import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Alternatives, chooseAcyclic } from '../../../src/history/transactions/acyclic-solver.ts'
import { checkHistory } from '../../../src/history/transactions/check.ts'
import { Edges, outgoing, topologicalOrder } from '../../../src/history/transactions/graph.ts'
import {
  OK,
  type TransactionHistory,
  TransactionHistoryBuilder,
} from '../../../src/history/transactions/history.ts'
import { checkTransactions } from '../../../src/history/transactions/index.ts'
import { smallestCore } from '../../../src/history/transactions/smallest-core.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { type SmallTransaction, serializable } from './oracle.ts'

describe('choosing between alternatives', () => {
  const NODES = 7
  type Edge = readonly [number, number]
  const acyclic = (edges: readonly Edge[]): boolean => {
    let left = edges
    for (;;) {
      // An edge whose end leads nowhere is on no cycle.
      const kept = left.filter(([, v]) => left.some(([u]) => u === v))
      if (kept.length === left.length) return kept.length === 0
      left = kept
    }
  }
  const edge = fc.tuple(fc.nat(NODES - 1), fc.nat(NODES - 1))
  const problem = fc.record({
    // Certain edges point upwards, so that they are acyclic.
    certain: fc.array(
      edge.map(([a, b]): Edge => [Math.min(a, b), Math.max(a, b)]).filter(([a, b]) => a !== b),
      { maxLength: 5 },
    ),
    pairs: fc.array(
      fc.tuple(
        fc.array(edge, { minLength: 1, maxLength: 3 }),
        fc.array(edge, { minLength: 1, maxLength: 3 }),
      ),
      { minLength: 1, maxLength: 9 },
    ),
  })
  type Pairs = readonly (readonly [readonly Edge[], readonly Edge[]])[]
  const alternatives = (certain: readonly Edge[], pairs: Pairs): Alternatives => {
    const known = new Edges()
    for (const [u, v] of certain) known.add(u, v, 0, -1)
    const graph = outgoing(known, NODES)
    return {
      nodes: NODES,
      start: graph.start,
      to: graph.to,
      order: topologicalOrder(graph),
      pairs: pairs.length,
      edgesOf: (literal, emit) => {
        const [first, second] = pairs[literal >> 1] as Pairs[number]
        for (const [u, v] of (literal & 1) === 0 ? first : second) emit(u, v)
      },
      hint: (pair) => pairs[pair]?.[0][0] as Edge,
      expired: () => false,
    }
  }
  it('shrinks what has no choice until each pair is needed', () => {
    let shrunk = 0
    fc.assert(
      fc.property(problem, ({ certain, pairs }) => {
        const whole = alternatives(certain, pairs)
        const choice = chooseAcyclic(whole)
        if (choice.kind !== 'impossible') return
        const core = smallestCore(whole, choice.pairs) ?? []
        const impossible = (numbers: readonly number[]): boolean =>
          chooseAcyclic(
            alternatives(
              certain,
              numbers.map((n) => pairs[n] as Pairs[number]),
            ),
          ).kind === 'impossible'
        expect(impossible(core)).toBe(true)
        for (const one of core)
          expect(core.length === 1 || !impossible(core.filter((n) => n !== one))).toBe(true)
        if (core.length < choice.pairs.length) shrunk++
      }),
      { numRuns: 500 },
    )
    expect(shrunk).toBeGreaterThan(10)
  })
  it('finds a choice exactly when there is one, and what it chooses is acyclic', () => {
    const seen = { true: 0, false: 0 }
    fc.assert(
      fc.property(problem, ({ certain, pairs }) => {
        let possible = false
        for (let mask = 0; mask < 1 << pairs.length && !possible; mask++) {
          possible = acyclic([...certain, ...pairs.flatMap((p, i) => p[(mask >> i) & 1] as Edge[])])
        }
        seen[`${possible}`]++
        const choice = chooseAcyclic(alternatives(certain, pairs))
        expect(choice.kind).toBe(possible ? 'chosen' : 'impossible')
        if (choice.kind === 'chosen') {
          expect(
            acyclic([...certain, ...pairs.flatMap((p, i) => p[choice.first[i] === 1 ? 0 : 1] as Edge[])]),
          ).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
    expect(Math.min(seen.true, seen.false)).toBeGreaterThan(200)
  })
})

/** A database with snapshots and first-committer-wins; with `serial`, one transaction after the other. */
function run(
  seed: number,
  options: { sessions: number; transactions: number; keys: number; serial: boolean },
): Transactions {
  const random = seededRandom(seed)
  const below = (n: number): number => Math.floor(random() * n)
  const versions = new Map<number, [commit: number, value: number][]>()
  const done: [f: 'r' | 'w', key: number, value: number | null][][][] = Array.from(
    { length: options.sessions },
    () => [],
  )
  const running: (
    | { start: number; ops: [f: 'r' | 'w', key: number, value: number | null][]; wrote: Map<number, number> }
    | undefined
  )[] = []
  let commits = 0
  let value = 0
  while (commits < options.sessions * options.transactions) {
    const s = below(options.sessions)
    if ((done[s]?.length as number) >= options.transactions) continue
    running[s] ??= { start: commits, ops: [], wrote: new Map() }
    const t = running[s] as NonNullable<(typeof running)[number]>
    do {
      const key = below(options.keys)
      if (below(2) === 0) {
        const seen = versions.get(key)?.findLast(([commit]) => commit <= t.start)?.[1] ?? null
        t.ops.push(['r', key, t.wrote.get(key) ?? seen])
      } else {
        t.wrote.set(key, ++value)
        t.ops.push(['w', key, value])
      }
    } while (options.serial && t.ops.length < 4)
    if (t.ops.length < 4) continue
    running[s] = undefined
    if ([...t.wrote.keys()].some((key) => (versions.get(key)?.at(-1)?.[0] ?? 0) > t.start)) continue
    commits++
    for (const [key, v] of t.wrote) versions.set(key, [...(versions.get(key) ?? []), [commits, v]])
    done[s]?.push(t.ops)
  }
  return done.flatMap((session, s) => session.map((ops) => ({ session: s, ops })))
}

const simulate = (...args: Parameters<typeof run>): TransactionHistory => build(run(...args))

type Transactions = readonly {
  readonly session: number
  readonly ops: readonly (readonly [f: 'r' | 'w', key: number, value: number | null])[]
}[]

function build(transactions: Transactions): TransactionHistory {
  const builder = new TransactionHistoryBuilder()
  for (const { session, ops } of transactions) {
    builder.begin({ session, status: OK, at: 0 })
    for (const [f, key, v] of ops) {
      if (f === 'r') builder.read(key, v ?? null)
      else builder.write(key, v as number)
    }
  }
  return builder.finish({ definition: 'axiomatic', unit: 'transaction' })
}

describe('histories of a simulated database, without recorded versions or times', () => {
  const size = { sessions: 6, transactions: 40, keys: 12 }
  it.each([1, 2, 3, 4])('a serial run is proved serializable and snapshot isolated (seed %i)', (seed) => {
    const h = simulate(seed, { ...size, serial: true })
    expect(checkHistory(h, { level: 'serializable' })).toMatchObject({ verdict: 'valid' })
    expect(checkHistory(h, { level: 'snapshot-isolation' })).toMatchObject({ verdict: 'valid' })
  })
  it.each([1, 2, 3, 4])(
    'snapshots are proved snapshot isolated, and their write skews are found (seed %i)',
    (seed) => {
      const h = simulate(seed, { ...size, serial: false })
      expect(checkHistory(h, { level: 'snapshot-isolation' })).toMatchObject({ verdict: 'valid' })
      expect(checkHistory(h, { level: 'causal' })).toMatchObject({ verdict: 'valid' })
      expect(checkHistory(h, { level: 'serializable' })).toMatchObject({ verdict: 'invalid' })
    },
  )
})

describe('hot keys whose order was not recorded', () => {
  // So many pairs of versions are open that no search takes them up: an imagined run has to find an order.
  const size = { sessions: 8, transactions: 400, keys: 3 }
  /** Enough for a run, which asks now and then, and too little for a search. */
  const patience = (): (() => boolean) => {
    let asked = 0
    return () => ++asked > 40
  }
  it('a serial run is proved serializable and snapshot isolated', () => {
    const h = simulate(5, { ...size, serial: true })
    expect(checkHistory(h, { level: 'serializable', expired: patience() })).toMatchObject({
      verdict: 'valid',
    })
    expect(checkHistory(h, { level: 'snapshot-isolation', expired: patience() })).toMatchObject({
      verdict: 'valid',
    })
  })
  it('a run on snapshots is proved snapshot isolated', () => {
    const h = simulate(6, { ...size, serial: false })
    expect(checkHistory(h, { level: 'snapshot-isolation', expired: patience() })).toMatchObject({
      verdict: 'valid',
    })
  })
  it('a contradiction beside them that needs no search is found', () => {
    const all = run(7, { ...size, serial: true })
    // Two readers that saw two blind writes of different keys in different orders, among the rest.
    const [x, y] = [100, 101]
    const odd: Transactions = [
      {
        session: 20,
        ops: [
          ['w', x, -1],
          ['w', x + 2, -1],
        ],
      },
      {
        session: 21,
        ops: [
          ['w', y, -2],
          ['w', y + 2, -2],
        ],
      },
      {
        session: 22,
        ops: [
          ['r', x, -1],
          ['r', y, null],
        ],
      },
      {
        session: 23,
        ops: [
          ['r', y, -2],
          ['r', x, null],
        ],
      },
    ]
    const { verdict } = checkHistory(build([...all, ...odd]), { level: 'serializable' })
    expect(verdict).toBe('invalid')
  })
})

describe('a contradiction in every order of versions', () => {
  it('is explained by a small part of the history, which is invalid alone', () => {
    let explained = 0
    for (let seed = 1; seed <= 40; seed++) {
      const all = run(seed, { sessions: 4, transactions: 12, keys: 6, serial: false })
      const { anomalies } = checkHistory(build(all), { level: 'serializable', sessionOrder: false })
      const found = anomalies.find(({ type }) => type === 'cycle-in-every-order')
      if (found === undefined) continue
      explained++
      expect(found.transactions.length).toBeLessThan(all.length / 2)
      expect(found.explanation).toMatch(/If .* comes before .*: .* If .* comes before .*: /)
      const part = found.transactions.map((t) => all[t] as Transactions[number])
      const values = new Set(part.flatMap(({ ops }) => ops.filter(([f]) => f === 'w').map(([, , v]) => v)))
      // What nobody in this part wrote is not known to it.
      const alone = part.map(({ session, ops }) => ({
        session,
        ops: ops.filter(([f, , v]) => f === 'w' || v === null || values.has(v)),
      }))
      expect({
        seed,
        verdict: checkHistory(build(alone), { level: 'serializable', sessionOrder: false }).verdict,
      }).toEqual({
        seed,
        verdict: 'invalid',
      })
    }
    expect(explained).toBeGreaterThan(5)
  })
})

describe('sets against trying every order', () => {
  const op = fc.record({ add: fc.boolean(), key: fc.nat(1), pick: fc.nat(63) })
  const transaction = fc.record({
    session: fc.constantFrom('A', 'B'),
    ops: fc.array(op, { minLength: 1, maxLength: 3 }),
  })
  it('the verdict of serializability is the same', () => {
    const seen = { true: 0, false: 0 }
    fc.assert(
      fc.property(fc.array(transaction, { minLength: 2, maxLength: 4 }), (drafts) => {
        let next = 1
        const numbered = drafts.map((t) => ({
          ...t,
          ops: t.ops.map((o) => ({ ...o, value: o.add ? next++ : 0 })),
        }))
        const added = (key: number): number[] =>
          numbered.flatMap((t) => t.ops.filter((o) => o.add && o.key === key).map((o) => o.value))
        const builder = new TransactionHistoryBuilder()
        const small = numbered.map((t, i): SmallTransaction => {
          builder.begin({ session: t.session, status: OK, at: i })
          return {
            session: t.session,
            status: 'ok',
            ops: t.ops.map((o) => {
              const key = `k${o.key}`
              const items = added(o.key).filter((_, n) => (o.pick & (1 << n)) !== 0)
              if (o.add) builder.write(key, o.value)
              else builder.readList(key, items)
              return { f: o.add ? 'add' : 'set', key, value: o.add ? o.value : items }
            }),
          }
        })
        const truth = serializable(small, { session: false, realTime: false })
        seen[`${truth}`]++
        const h = builder.finish({ definition: 'adya', unit: 'transaction', unordered: true })
        expect(checkTransactions(h, { model: 'set' }).verdict).toBe(truth ? 'valid' : 'invalid')
      }),
      { numRuns: 800 },
    )
    expect(Math.min(seen.true, seen.false)).toBeGreaterThan(50)
  })
})
