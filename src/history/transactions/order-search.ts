// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { chooseAcyclic } from './acyclic-solver.ts'
import type { Step } from './cycles.ts'
import { components, type Edges, outgoing, RW, topologicalOrder, WW } from './graph.ts'
import { NIL, type TransactionHistory } from './history.ts'
import { IntVector } from './int-vector.ts'
import type { Reads } from './reads.ts'
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
      readonly cycles: readonly (readonly Step[])[]
    }
  | { readonly kind: 'unknown'; readonly reason: string }

/** The transactions that read a version, or with `NIL` the initial state, of an open key. */
export type ReadersOf = (write: number, key: number) => Int32Array

const PAIRS_MAX = 3_000_000
const CLOSURE_BYTES_MAX = 1 << 28

export interface Graph {
  nodes: number
  start: Int32Array
  to: Int32Array
  edge: Int32Array
}

/**
 * The graph in which every cycle is forbidden. For serializability that is the graph itself. For snapshot isolation each
 * node is doubled (2u, and 2u + 1 when it was entered by an rw edge, from where only other edges lead on), so that
 * exactly the cycles without neighbouring rw edges remain (Cerone and Gotsman, "Analysing Snapshot Isolation", 2016).
 */
export function forbiddingGraph(
  edges: Edges,
  nodes: number,
  keyNodesFrom: number,
  snapshot: boolean,
  within?: Int32Array,
): Graph {
  if (!snapshot && within === undefined) return outgoing(edges, nodes)
  const from = new IntVector(edges.length + 16)
  const to = new IntVector(edges.length + 16)
  const edge = new IntVector(edges.length + 16)
  for (let e = 0; e < edges.length; e++) {
    const u = edges.from.at(e)
    const v = edges.to.at(e)
    if (within !== undefined && (within[u] === -1 || within[u] !== within[v])) continue
    expand(u, v, edges.kind.at(e), keyNodesFrom, snapshot, (a, b) => {
      from.push(a)
      to.push(b)
      edge.push(e)
    })
  }
  const count = snapshot ? nodes * 2 : nodes
  const start = new Int32Array(count + 1)
  for (let i = 0; i < from.length; i++) start[from.at(i) + 1]! += 1
  for (let u = 0; u < count; u++) start[u + 1]! += start[u] as number
  const place = start.slice(0, count)
  const target = new Int32Array(from.length)
  const number = new Int32Array(from.length)
  for (let i = 0; i < from.length; i++) {
    const at = place[from.at(i)]!++
    target[at] = to.at(i)
    number[at] = edge.at(i)
  }
  return { nodes: count, start, to: target, edge: number }
}

function expand(
  u: number,
  v: number,
  kind: number,
  keyNodesFrom: number,
  snapshot: boolean,
  emit: (a: number, b: number) => void,
): void {
  if (!snapshot) emit(u, v)
  else if (kind !== RW) {
    emit(2 * u, 2 * v)
    emit(2 * u + 1, 2 * v)
  } else if (u >= keyNodesFrom) emit(2 * u + 1, 2 * v + 1)
  else emit(2 * u, 2 * v + 1)
}

/** An edge that an alternative would bring. */
interface Candidate {
  readonly u: number
  readonly v: number
  readonly kind: number
  readonly via: number
}

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
  if (guessHolds(order)) return { kind: 'valid' }

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
  let struck = 0
  /** Strikes out an alternative that closes a cycle with what is certain. Answers `open`, `decided`, or both cycles. */
  const strike = (pair: Pair): 'open' | 'decided' | readonly [Candidate, Candidate] => {
    const first = closes(pair, true)
    const second = closes(pair, false)
    if (first === undefined && second === undefined) return 'open'
    if (first !== undefined && second !== undefined) return [first, second]
    struck++
    edgesOf(pair, first === undefined, (u, v, kind, via) => {
      // What can be reached anyway needs no edge of its own.
      let implied = true
      expand(u, v, kind, keyNodesFrom, snapshot, (a, b) => {
        implied &&= reaches?.(a, b) === true
      })
      if (!implied) edges.add(u, v, kind, via)
    })
    return 'decided'
  }
  const closes = (pair: Pair, isFirst: boolean): Candidate | undefined => {
    let found: Candidate | undefined
    edgesOf(pair, isFirst, (u, v, kind, via) => {
      if (found !== undefined) return
      expand(u, v, kind, keyNodesFrom, snapshot, (a, b) => {
        if (a === b || reaches?.(b, a) === true) found ??= { u, v, kind, via }
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
          if (outcome !== 'open') return contradiction(pair, outcome)
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
      if (outcome !== 'open') return contradiction(pair, outcome)
      pairKey.set(kept, pairKey.at(p))
      pairA.set(kept, pairA.at(p))
      pairB.set(kept, pairB.at(p))
      kept++
    }
    for (const part of [pairKey, pairA, pairB]) part.length = kept
    if (struck === before) break
  }
  reaches = undefined

  const node = (op: number): number => (snapshot ? 2 * by(op) : by(op))
  const choice = chooseAcyclic({
    nodes: graph.nodes,
    start: graph.start,
    to: graph.to,
    order,
    pairs: pairKey.length,
    edgesOf: (literal, emit) => {
      edgesOf(pairAt(literal >> 1), (literal & 1) === 0, (u, v, kind) =>
        expand(u, v, kind, keyNodesFrom, snapshot, emit),
      )
    },
    hint: (v) => {
      const p = pairAt(v)
      return [node(p.tailA), node(p.headB)]
    },
    expired: () => search.expired(),
  })
  if (choice.kind === 'chosen') return { kind: 'valid' }
  if (choice.kind === 'unknown') return choice
  const involved = new Set<number>()
  const names = new Set<string>()
  for (const v of choice.pairs) {
    const p = pairAt(v)
    for (const op of [p.headA, p.tailA, p.headB, p.tailB]) involved.add(by(op))
    names.add(h.showKey(p.key))
  }
  return {
    kind: 'invalid',
    transactions: [...involved].sort((a, b) => a - b),
    cycles: [],
    text: `Every order of the versions of ${list([...names])} that were not recorded in order leaves a forbidden cycle: ${pairKey.length} open pairs were searched whole (${choice.conflicts} contradictions), ${struck} more followed from the rest.`,
  }

  /** Orders the chains of each key by where their writers stand in `order`, and looks whether that is free of cycles. */
  function guessHolds(order: Int32Array): boolean {
    if (order.length < graph.nodes) return false
    const position = new Int32Array(graph.nodes)
    for (let i = 0; i < order.length; i++) position[order[i] as number] = i
    const certain = edges.length
    for (const { key, heads, tails, firstIsFirst } of versions.open) {
      const from = firstIsFirst ? 1 : 0
      const chains = heads.slice(from).map((_, i) => i + from)
      const at = (op: number): number => position[snapshot ? 2 * by(op) : by(op)] as number
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
    const holds = components(forbiddingGraph(edges, nodes, keyNodesFrom, snapshot)).length === 0
    edges.truncate(certain)
    return holds
  }

  function contradiction(pair: Pair, edgesOfBoth: readonly [Candidate, Candidate]): OrderAnswer {
    graph = graphNow()
    const cycles = edgesOfBoth.map((edge) => cycleThrough(edge))
    const [a, b] = [pair.headA, pair.headB].map(
      (op) => `${h.showTransaction(by(op))}'s ${h.showValue(h.value[op] as number)}`,
    )
    return {
      kind: 'invalid',
      cycles,
      transactions: [...new Set(cycles.flatMap((cycle) => cycle.map((step) => step.from)))],
      text: `${a} and ${b} are both versions of ${h.showKey(pair.key)} and their order was not recorded; either order closes a forbidden cycle.`,
    }
  }

  /** The shortest way back along certain edges, closed by `edge`. */
  function cycleThrough(edge: Candidate): Step[] {
    let best: Step[] = []
    expand(edge.u, edge.v, edge.kind, keyNodesFrom, snapshot, (a, b) => {
      const parent = new Int32Array(graph.nodes).fill(-1)
      const parentEdge = new Int32Array(graph.nodes).fill(-1)
      const queue = [b]
      parent[b] = b
      for (let i = 0; i < queue.length && parent[a] === -1; i++) {
        const x = queue[i] as number
        for (let k = graph.start[x] as number; k < (graph.start[x + 1] as number); k++) {
          const y = graph.to[k] as number
          if (parent[y] !== -1) continue
          parent[y] = x
          parentEdge[y] = graph.edge[k] as number
          queue.push(y)
        }
      }
      if (parent[a] === -1) return
      const steps: Step[] = []
      for (let y = a; y !== b; y = parent[y] as number) {
        const e = parentEdge[y] as number
        steps.unshift({
          from: edges.from.at(e),
          to: edges.to.at(e),
          kind: edges.kind.at(e),
          via: edges.via.at(e),
        })
      }
      const whole = joinVirtual(
        [{ from: edge.u, to: edge.v, kind: edge.kind, via: edge.via }, ...steps],
        h.transactions,
      )
      if (best.length === 0 || whole.length < best.length) best = whole
    })
    return best
  }
}

/** Joins the steps over nodes that are no transactions; the cycle must begin at a transaction. */
export function joinVirtual(steps: readonly Step[], transactions: number): Step[] {
  const joined: Step[] = []
  let from = -1
  for (const step of steps) {
    if (from === -1) from = step.from
    if (step.to >= transactions) continue
    joined.push({ ...step, from })
    from = -1
  }
  return joined
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

/** Who reaches whom, as bits: row u has bit v. */
function closure(graph: Graph, order: Int32Array): (u: number, v: number) => boolean {
  const words = Math.ceil(graph.nodes / 32)
  const rows = new Uint32Array(graph.nodes * words)
  for (let i = order.length - 1; i >= 0; i--) {
    const u = order[i] as number
    const row = u * words
    for (let k = graph.start[u] as number; k < (graph.start[u + 1] as number); k++) {
      const v = graph.to[k] as number
      if (((rows[row + (v >>> 5)] as number) & (1 << (v & 31))) !== 0) continue
      const other = v * words
      for (let w = 0; w < words; w++) rows[row + w]! |= rows[other + w] as number
      rows[row + (v >>> 5)]! |= 1 << (v & 31)
    }
  }
  return (u, v) => ((rows[u * words + (v >>> 5)] as number) & (1 << (v & 31))) !== 0
}

/** Whose reads saw each version, and the initial state, of the open keys. */
export function readersOfOpenKeys(h: TransactionHistory, reads: Reads, versions: Versions): ReadersOf {
  const { source, transactionOf } = reads
  const ops = source.length
  const isOpen = new Uint8Array(h.keys)
  for (const { key } of versions.open) isOpen[key] = 1
  // One row per write, and after those one per key for its initial state.
  const rowOf = (op: number): number => {
    const seen = source[op] as number
    const key = h.key[op] as number
    if (seen < NIL || isOpen[key] === 0) return -1
    return seen === NIL ? ops + key : seen
  }
  const end = new Int32Array(ops + h.keys + 1)
  for (let op = 0; op < ops; op++) {
    const row = rowOf(op)
    if (row >= 0) end[row]! += 1
  }
  let sum = 0
  for (let row = 0; row < end.length; row++) {
    const count = end[row] as number
    end[row] = sum
    sum += count
  }
  const start = end.slice()
  const readers = new Int32Array(sum)
  for (let op = 0; op < ops; op++) {
    const row = rowOf(op)
    if (row < 0) continue
    const t = transactionOf[op] as number
    const at = end[row] as number
    if (at > (start[row] as number) && readers[at - 1] === t) continue // a second read of it by the same transaction
    readers[at] = t
    end[row] = at + 1
  }
  return (write, key) => {
    const row = write === NIL ? ops + key : write
    return readers.subarray(start[row] as number, end[row] as number)
  }
}
