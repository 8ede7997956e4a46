// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { type Alternatives, chooseAcyclic } from './acyclic-solver.ts'
import type { Step } from './cycles.ts'
import { closure, expand, forbiddingGraph, type Graph } from './forbidding-graph.ts'
import { components, type Edges, RW, topologicalOrder, WW } from './graph.ts'
import type { TransactionHistory } from './history.ts'
import { imaginedRun } from './imagined-run.ts'
import { IntVector } from './int-vector.ts'
import type { ReadersOf } from './open-readers.ts'
import { type Candidate, orderCases } from './order-cases.ts'
import type { Reads } from './reads.ts'
import { smallestCore } from './smallest-core.ts'
import type { OpenKey, Versions } from './versions.ts'

/**
 * Looks for an order of the versions whose order was not recorded under which no forbidden cycle remains. With the open
 * pairs of chains as alternatives this is Papadimitriou's polygraph problem (as in Cobra, OSDI 2020, and for snapshot
 * isolation PolySI, VLDB 2023). First one good guess is verified in linear time; then alternatives that would close a
 * cycle with what is certain are struck out; what is left goes to a search with learning.
 */
export interface OrderSearch {
  readonly history: TransactionHistory
  readonly reads: Reads
  readonly versions: Versions
  /** What is certain; acyclic at the level. The search appends what it infers. */
  readonly edges: Edges
  /** Transactions, then the nodes for instants and open keys. */
  readonly nodes: number
  /** Nodes from here on stand for open keys (see `openKeyEdges`). */
  readonly keyNodesFrom: number
  /** True for snapshot isolation: only cycles without two neighbouring rw edges are forbidden. */
  readonly snapshot: boolean
  readonly readersOf: ReadersOf
  expired(): boolean
}

export type OrderAnswer =
  | { readonly kind: 'valid' }
  /** What was inferred, now among `edges`, closes a forbidden cycle. */
  | { readonly kind: 'cycle' }
  | {
      readonly kind: 'invalid'
      readonly text: string
      readonly transactions: readonly number[]
      /** Each way to order the versions that the text names, and the cycle that it closes. */
      readonly cases: readonly { readonly when: string; readonly cycle: readonly Step[] }[]
    }
  | { readonly kind: 'unknown'; readonly reason: string }

const PAIRS_MAX = 3_000_000
const CLOSURE_BYTES_MAX = 1 << 28
/** Pairs of a core whose cases are gone through, and pairs that are named where no core was found. */
const CORE_EXPLAINED_MAX = 8
const INVOLVED_PAIRS_MAX = 32
const CHAIN_MAX = 32
/** Decided pairs that are kept for an explanation. */
const STRUCK_KEPT_MAX = 50_000

interface Pair {
  readonly key: number
  readonly headA: number
  readonly tailA: number
  readonly headB: number
  readonly tailB: number
}

export function searchOrder(search: OrderSearch): OrderAnswer {
  const { history: h, reads, versions, edges, nodes, keyNodesFrom, snapshot } = search
  const by = (op: number): number => reads.transactionOf[op] as number
  const graphNow = (): Graph => forbiddingGraph(edges, nodes, keyNodesFrom, snapshot)

  /** The edges that follow when the chain with this tail comes before the chain with this head. */
  const follow = (
    tail: number,
    head: number,
    key: number,
    emit: (u: number, v: number, kind: number, via: number) => void,
  ): void => {
    const after = by(head)
    emit(by(tail), after, WW, head)
    for (const reader of search.readersOf(tail, key)) if (reader !== after) emit(reader, after, RW, head)
  }

  let graph = graphNow()
  let order = topologicalOrder(graph, ranks(h, graph.nodes, snapshot))
  if (guessHolds(order) || runHolds()) return { kind: 'valid' }

  // The pairs whose order is open, as positions in `versions.open` and in its chains.
  const pairKey = new IntVector()
  const pairA = new IntVector()
  const pairB = new IntVector()
  const pairAt = (p: number): Pair => {
    const { key, heads, tails } = versions.open[pairKey.at(p)] as OpenKey
    const [a, b] = [pairA.at(p), pairB.at(p)]
    return {
      key,
      headA: heads[a] as number,
      tailA: tails[a] as number,
      headB: heads[b] as number,
      tailB: tails[b] as number,
    }
  }
  const edgesOf = (
    pair: Pair,
    first: boolean,
    emit: (u: number, v: number, kind: number, via: number) => void,
  ): void => {
    if (first) follow(pair.tailA, pair.headB, pair.key, emit)
    else follow(pair.tailB, pair.headA, pair.key, emit)
  }

  let reaches: ((u: number, v: number) => boolean) | undefined
  const certainEdges = edges.length
  const struckPairs: Pair[] = []
  let struck = 0
  /** Strikes out an alternative that closes a cycle with what is certain. Answers `impossible` where both do. */
  const strike = (pair: Pair): 'open' | 'decided' | 'impossible' => {
    const first = closes(pair, true)
    const second = closes(pair, false)
    if (!first && !second) return 'open'
    if (first && second) return 'impossible'
    struck++
    if (struckPairs.length < STRUCK_KEPT_MAX) struckPairs.push(pair)
    edgesOf(pair, !first, (u, v, kind, via) => {
      // What can be reached anyway needs no edge of its own.
      let implied = true
      expand(u, v, kind, keyNodesFrom, snapshot, (a, b) => {
        implied &&= reaches?.(a, b) === true
      })
      if (!implied) edges.add(u, v, kind, via)
    })
    return 'decided'
  }
  const closes = (pair: Pair, isFirst: boolean): boolean => {
    let found = false
    edgesOf(pair, isFirst, (u, v, kind) => {
      if (found) return
      expand(u, v, kind, keyNodesFrom, snapshot, (a, b) => {
        found ||= a === b || reaches?.(b, a) === true
      })
    })
    return found
  }

  const closable = (): boolean => graph.nodes * Math.ceil(graph.nodes / 32) * 4 <= CLOSURE_BYTES_MAX
  if (closable()) reaches = closure(graph, order)
  const timeUp = { kind: 'unknown', reason: 'time was up while orders of versions were inferred' } as const
  if (search.expired()) return timeUp
  let looked = 0
  for (let k = 0; k < versions.open.length; k++) {
    const { key, heads, tails, firstIsFirst } = versions.open[k] as OpenKey
    for (let i = firstIsFirst ? 1 : 0; i < heads.length; i++) {
      for (let j = i + 1; j < heads.length; j++) {
        if ((++looked & 4095) === 0 && search.expired()) return timeUp
        if (reaches !== undefined) {
          const pair = {
            key,
            headA: heads[i] as number,
            tailA: tails[i] as number,
            headB: heads[j] as number,
            tailB: tails[j] as number,
          }
          const outcome = strike(pair)
          if (outcome === 'decided') continue
          if (outcome === 'impossible') return impossible([pair], 1)
        }
        if (pairKey.length === PAIRS_MAX) {
          return {
            kind: 'unknown',
            reason: `more than ${PAIRS_MAX} pairs of versions are in no certain order`,
          }
        }
        pairKey.push(k)
        pairA.push(i)
        pairB.push(j)
      }
    }
  }
  while (reaches !== undefined && struck > 0) {
    graph = graphNow()
    order = topologicalOrder(graph, ranks(h, graph.nodes, snapshot))
    if (order.length < graph.nodes) return { kind: 'cycle' }
    if (guessHolds(order)) return { kind: 'valid' }
    if (search.expired()) return timeUp
    reaches = closure(graph, order)
    const before = struck
    let kept = 0
    for (let p = 0; p < pairKey.length; p++) {
      if ((p & 4095) === 0 && search.expired()) return timeUp
      const pair = pairAt(p)
      const outcome = strike(pair)
      if (outcome === 'decided') continue
      if (outcome === 'impossible') return impossible([pair], 1)
      pairKey.set(kept, pairKey.at(p))
      pairA.set(kept, pairA.at(p))
      pairB.set(kept, pairB.at(p))
      kept++
    }
    for (const part of [pairKey, pairA, pairB]) part.length = kept
    if (struck === before) break
  }
  reaches = undefined
  if (struck > 0 && runHolds()) return { kind: 'valid' }

  const choice = chooseAcyclic(problemOf(pairKey.length, pairAt))
  if (choice.kind === 'chosen') return { kind: 'valid' }
  if (choice.kind === 'unknown') return choice
  return impossible(choice.pairs.map(pairAt), choice.conflicts)

  function problemOf(pairs: number, at: (pair: number) => Pair): Alternatives {
    const node = (op: number): number => (snapshot ? 2 * by(op) : by(op))
    return {
      nodes: graph.nodes,
      start: graph.start,
      to: graph.to,
      order,
      pairs,
      edgesOf: (literal, emit) => {
        edgesOf(at(literal >> 1), (literal & 1) === 0, (u, v, kind) =>
          expand(u, v, kind, keyNodesFrom, snapshot, emit),
        )
      },
      hint: (v) => {
        const { tailA, headB } = at(v)
        return [node(tailA), node(headB)]
      },
      expired: () => search.expired(),
    }
  }

  /** The guess that versions were written in the order of `order`. */
  function guessHolds(order: Int32Array): boolean {
    if (order.length < graph.nodes) return false
    const position = new Int32Array(graph.nodes)
    for (let i = 0; i < order.length; i++) position[order[i] as number] = i
    return holds((t) => position[snapshot ? 2 * t : t] as number)
  }

  /** The guesses that imagined runs give: a serial one, which suits snapshots too, and one on snapshots. */
  function runHolds(): boolean {
    for (const snapshots of snapshot ? [false, true] : [false]) {
      const rank = ranks(h, h.transactions, false)
      const expired = (): boolean => search.expired()
      const moments = imaginedRun({
        history: h,
        reads,
        versions,
        edges,
        nodes,
        snapshots,
        rank,
        expired,
      })
      if (moments !== undefined && holds((t) => moments[t] as number)) return true
    }
    return false
  }

  /** Orders the chains of each key by when their writers wrote, and looks whether that is free of cycles. */
  function holds(moment: (transaction: number) => number): boolean {
    const certain = edges.length
    for (const { key, heads, tails, firstIsFirst } of versions.open) {
      const from = firstIsFirst ? 1 : 0
      const chains = heads.slice(from).map((_, i) => i + from)
      const at = (op: number): number => moment(by(op))
      chains.sort((a, b) => at(tails[a] as number) - at(tails[b] as number))
      let previous = firstIsFirst ? 0 : -1
      for (const chain of chains) {
        if (previous !== -1)
          follow(tails[previous] as number, heads[chain] as number, key, (u, v, kind, via) =>
            edges.add(u, v, kind, via),
          )
        previous = chain
      }
    }
    const acyclic = components(forbiddingGraph(edges, nodes, keyNodesFrom, snapshot)).length === 0
    edges.truncate(certain)
    return acyclic
  }

  /**
   * No order is free of cycles. What was inferred is taken back, so that the explanation stands on what is certain; the
   * pairs that it was inferred from are looked for after those in which contradictions were met.
   */
  function impossible(met: readonly Pair[], conflicts: number): OrderAnswer {
    edges.truncate(certainEdges)
    graph = graphNow()
    order = topologicalOrder(graph, ranks(h, graph.nodes, snapshot))
    const candidates = [...met, ...struckPairs.toReversed()]
    const core = smallestCore(
      problemOf(candidates.length, (pair) => candidates[pair] as Pair),
      candidates.map((_, i) => i),
    )?.map((i) => candidates[i] as Pair)
    const pairs = core ?? met.slice(0, INVOLVED_PAIRS_MAX)
    const cases = core === undefined || core.length > CORE_EXPLAINED_MAX ? undefined : casesOf(core)
    const keys = list([...new Set(pairs.map((pair) => h.showKey(pair.key)))])
    return {
      kind: 'invalid',
      transactions: inOrder([
        ...pairs.flatMap((p) => [...chain(p.headA, p.tailA), ...chain(p.headB, p.tailB)]),
        ...(cases ?? []).flatMap(({ cycle }) => cycle.flatMap((step) => [step.from, ...replaced(step)])),
      ]),
      cases: cases ?? [],
      text:
        core === undefined
          ? `Every order of the versions of ${keys} that were not recorded in order leaves a forbidden cycle: ${pairKey.length} open pairs were searched whole (${conflicts} contradictions), ${struck} more followed from the rest.`
          : `The order of ${core.length === 1 ? 'two versions' : `${core.length} pairs of versions`} of ${keys} was not recorded, and every way to order them closes a forbidden cycle.`,
    }
  }

  /** The writers of a chain; of a long one its ends. */
  function chain(head: number, tail: number): number[] {
    const writers: number[] = []
    for (let op = head; op !== tail && op !== -1; op = versions.next[op] as number) {
      if (writers.length === CHAIN_MAX) return [by(head), by(tail)]
      writers.push(by(op))
    }
    return [...writers, by(tail)]
  }

  /** Whose versions the reader of an rw step saw: without them it would have seen none that was replaced. */
  function replaced({ from, kind, via }: Step): number[] {
    if (kind !== RW || via < 0) return []
    const writers: number[] = []
    for (let op = h.first[from] as number; op < (h.first[from + 1] as number); op++) {
      const seen = reads.source[op] as number
      if (h.key[op] === h.key[via] && seen >= 0) writers.push(by(seen))
    }
    return writers
  }

  function casesOf(pairs: readonly Pair[]): { when: string; cycle: readonly Step[] }[] | undefined {
    return orderCases({
      graph,
      edges,
      keyNodesFrom,
      snapshot,
      transactions: h.transactions,
      pairs: pairs.length,
      edgesOf: (literal) => {
        const found: Candidate[] = []
        edgesOf(pairs[literal >> 1] as Pair, (literal & 1) === 0, (u, v, kind, via) =>
          found.push({ u, v, kind, via }),
        )
        return found
      },
    })?.map(({ chosen, cycle }) => ({
      cycle,
      when: chosen
        .map((literal) => {
          const { tailA, headB, tailB, headA, key } = pairs[literal >> 1] as Pair
          const [before, after] = (literal & 1) === 0 ? [tailA, headB] : [tailB, headA]
          return `${shown(before)} comes before ${shown(after)} in ${h.showKey(key)}`
        })
        .join(' and '),
    }))
  }

  function shown(op: number): string {
    return `${h.showTransaction(by(op))}'s ${h.showValue(h.value[op] as number)}`
  }
}

function inOrder(transactions: readonly number[]): number[] {
  return [...new Set(transactions)].sort((a, b) => a - b)
}

function list(names: readonly string[]): string {
  return names.length > 4
    ? `${names.slice(0, 4).join(', ')} and ${names.length - 4} more keys`
    : names.join(', ')
}

/** When a transaction most likely took effect, for the first guess. */
function ranks(h: TransactionHistory, nodes: number, doubled: boolean): Float64Array {
  const rank = new Float64Array(nodes)
  const inSession = new Int32Array(h.sessions)
  for (let t = 0; t < h.transactions; t++) {
    const completed = h.completedAt[t] as number
    const nth = inSession[h.session[t] as number]!++
    const r = completed >= 0 ? completed : (h.invokedAt[t] as number) >= 0 ? (h.invokedAt[t] as number) : nth
    if (doubled) rank[2 * t] = rank[2 * t + 1] = r
    else rank[t] = r
  }
  return rank
}
