import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chooseAcyclic } from '../../../src/history/transactions/acyclic-solver.ts'
import { checkHistory } from '../../../src/history/transactions/check.ts'
import { Edges, outgoing, topologicalOrder } from '../../../src/history/transactions/graph.ts'
import {
  OK,
  type TransactionHistory,
  TransactionHistoryBuilder,
} from '../../../src/history/transactions/history.ts'
import { checkTransactions } from '../../../src/history/transactions/index.ts'
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
  it('finds a choice exactly when there is one, and what it chooses is acyclic', () => {
    const seen = { true: 0, false: 0 }
    fc.assert(
      fc.property(problem, ({ certain, pairs }) => {
        let possible = false
        for (let mask = 0; mask < 1 << pairs.length && !possible; mask++) {
          possible = acyclic([...certain, ...pairs.flatMap((p, i) => p[(mask >> i) & 1] as Edge[])])
        }
        seen[`${possible}`]++
        const known = new Edges()
        for (const [u, v] of certain) known.add(u, v, 0, -1)
        const graph = outgoing(known, NODES)
        const choice = chooseAcyclic({
          nodes: NODES,
          start: graph.start,
          to: graph.to,
          order: topologicalOrder(graph),
          pairs: pairs.length,
          edgesOf: (literal, emit) => {
            const [first, second] = pairs[literal >> 1] as (typeof pairs)[number]
            for (const [u, v] of (literal & 1) === 0 ? first : second) emit(u, v)
          },
          hint: (pair) => pairs[pair]?.[0][0] as Edge,
          expired: () => false,
        })
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
function simulate(
  seed: number,
  options: { sessions: number; transactions: number; keys: number; serial: boolean },
): TransactionHistory {
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
  const builder = new TransactionHistoryBuilder()
  done.forEach((session, s) => {
    for (const ops of session) {
      builder.begin({ session: s, status: OK, at: 0 })
      for (const [f, key, v] of ops) {
        if (f === 'r') builder.read(key, v)
        else builder.write(key, v as number)
      }
    }
  })
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
