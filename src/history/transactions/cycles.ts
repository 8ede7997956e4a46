// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { CO, components, type Edges, RT, RW, SO, WR, WW } from './graph.ts'
import { IntVector } from './int-vector.ts'

/** One step of a cycle: an edge between two transactions. */
export interface Step {
  readonly from: number
  readonly to: number
  readonly kind: number
  /** The micro-operation that explains the edge: for wr the write read, for ww and rw the newer write, for co the read. */
  readonly via: number
}

export interface FoundCycle {
  readonly type: string
  readonly steps: readonly Step[]
}

/** Starts after which a cycle that was found is not made shorter any more. */
const STARTS_MAX = 500
/** States visited per class and component: bounds the time on components of many thousand transactions. */
const VISITS_MAX = 5_000_000

interface CycleClass {
  readonly name: string
  /** A cycle begins with an edge of this kind. */
  readonly startKind: number
  /** Kinds that the rest may have. */
  readonly rest: number
  /** How many rw edges the rest must have: none, or at least one. */
  readonly moreRw: boolean
  readonly adjacentAllowed: boolean
}

const b = (kind: number): number => 1 << kind
const DEP = b(WW) | b(WR)
const CLASSES: readonly CycleClass[] = [
  { name: 'G0', startKind: WW, rest: b(WW), moreRw: false, adjacentAllowed: false },
  { name: 'G1c', startKind: WR, rest: DEP, moreRw: false, adjacentAllowed: false },
  { name: 'G-single', startKind: RW, rest: DEP, moreRw: false, adjacentAllowed: false },
  { name: 'G-nonadjacent', startKind: RW, rest: DEP | b(RW), moreRw: true, adjacentAllowed: false },
  { name: 'G2-item', startKind: RW, rest: DEP | b(RW), moreRw: true, adjacentAllowed: true },
]

/**
 * The shortest cycle of each class within one strongly connected component, most severe class first, by Adya's names
 * (and Elle's: G-nonadjacent, and the suffixes `-process` and `-realtime` where the session's order or real time is
 * needed to close the cycle).
 */
export function cyclesIn(
  component: readonly number[],
  edges: Edges,
  edgeNumbers: readonly number[],
  transactions: number,
  keyNodesFrom: number,
  wanted: readonly string[],
): FoundCycle[] {
  const graph = local(component, edges, edgeNumbers, transactions, keyNodesFrom)
  const found: FoundCycle[] = []
  const suffixes: readonly (readonly [string, number])[] = [
    ['', 0],
    ['-process', b(SO)],
    ['-realtime', b(SO) | b(RT)],
  ]
  for (const shape of CLASSES) {
    if (!wanted.includes(shape.name)) continue
    for (const [suffix, extra] of suffixes) {
      if (extra !== 0 && (graph.kinds & extra) === 0) continue
      const steps = shortest(graph, shape, extra)
      if (steps === undefined) continue
      if (
        shape.name === 'G2-item' &&
        !hasNeighbours(steps) &&
        found.some((c) => c.type.startsWith('G-nonadjacent'))
      )
        break
      found.push({ type: shape.name + suffix, steps })
      break
    }
  }
  return found
}

function hasNeighbours(steps: readonly Step[]): boolean {
  return steps.some((step, i) => step.kind === RW && steps[(i + 1) % steps.length]?.kind === RW)
}

/** The shortest cycle of any shape that has an edge of `must`, for graphs with forced orders. */
export function shortestCycle(
  component: readonly number[],
  edges: Edges,
  edgeNumbers: readonly number[],
  transactions: number,
  must?: number,
): readonly Step[] | undefined {
  const graph = local(component, edges, edgeNumbers, transactions, transactions)
  let best: Step[] | undefined
  for (const kind of must === undefined ? [CO, WR, WW, SO, RW] : [must]) {
    const shape = { name: '', startKind: kind, rest: 0xff, moreRw: false, adjacentAllowed: true }
    const steps = shortest(graph, shape, 0xff)
    if (steps !== undefined && (best === undefined || steps.length < best.length)) best = steps
  }
  return best
}

interface LocalGraph {
  readonly nodes: readonly number[]
  readonly start: Int32Array
  readonly to: Int32Array
  readonly kind: Uint8Array
  readonly via: Int32Array
  readonly kinds: number
  readonly transactions: number
}

/** The component alone, renumbered; nodes of open keys are replaced by the rw edges that they stand for. */
function local(
  component: readonly number[],
  edges: Edges,
  edgeNumbers: readonly number[],
  transactions: number,
  keyNodesFrom: number,
): LocalGraph {
  const number = new Map<number, number>()
  const nodes: number[] = []
  for (const u of component) {
    if (u >= keyNodesFrom && u >= transactions) continue
    number.set(u, nodes.length)
    nodes.push(u)
  }
  const from = new IntVector()
  const to = new IntVector()
  const kind = new IntVector()
  const via = new IntVector()
  let kinds = 0
  const add = (u: number, v: number, k: number, w: number): void => {
    if (u === v) return
    from.push(number.get(u) as number)
    to.push(number.get(v) as number)
    kind.push(k)
    via.push(w)
    kinds |= 1 << k
  }
  const entering = new Map<number, number[]>()
  const leaving = new Map<number, number[]>()
  for (const e of edgeNumbers) {
    const u = edges.from.at(e)
    const v = edges.to.at(e)
    if (!number.has(v)) push(entering, v, e)
    else if (!number.has(u)) push(leaving, u, e)
    else add(u, v, edges.kind.at(e), edges.via.at(e))
  }
  for (const [key, readers] of entering) {
    for (const r of readers.slice(0, 1000)) {
      for (const w of (leaving.get(key) ?? []).slice(0, 1000))
        add(edges.from.at(r), edges.to.at(w), RW, edges.via.at(w))
    }
  }
  const start = new Int32Array(nodes.length + 1)
  for (let i = 0; i < from.length; i++) start[from.at(i) + 1]! += 1
  for (let u = 0; u < nodes.length; u++) start[u + 1]! += start[u] as number
  const place = start.slice(0, nodes.length)
  const graph = {
    nodes,
    start,
    to: new Int32Array(from.length),
    kind: new Uint8Array(from.length),
    via: new Int32Array(from.length),
    kinds,
    transactions,
  }
  for (let i = 0; i < from.length; i++) {
    const at = place[from.at(i)]!++
    graph.to[at] = to.at(i)
    graph.kind[at] = kind.at(i)
    graph.via[at] = via.at(i)
  }
  return graph
}

function push(map: Map<number, number[]>, key: number, value: number): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

/** Whether the edges of these kinds alone have a cycle. */
function hasCycle(graph: LocalGraph, kinds: number): boolean {
  const size = graph.nodes.length
  const start = new Int32Array(size + 1)
  const to = new Int32Array(graph.to.length)
  let filled = 0
  for (let u = 0; u < size; u++) {
    for (let k = graph.start[u] as number; k < (graph.start[u + 1] as number); k++) {
      if ((kinds & (1 << (graph.kind[k] as number))) !== 0) to[filled++] = graph.to[k] as number
    }
    start[u + 1] = filled
  }
  return components({ nodes: size, start, to: to.subarray(0, filled) }).length > 0
}

/** Breadth first from the end of every starting edge back to its beginning; the state tells whether an rw edge came last, and whether one came at all. */
function shortest(graph: LocalGraph, shape: CycleClass, extra: number): Step[] | undefined {
  const size = graph.nodes.length
  const allowed = shape.rest | extra
  const parent = new Int32Array(size * 4)
  const parentEdge = new Int32Array(size * 4)
  const mark = new Int32Array(size * 4).fill(-1)
  const depth = new Int32Array(size * 4)
  if (!hasCycle(graph, allowed | b(shape.startKind))) return undefined
  // Short cycles are looked for from every start before long ones from any: on a large component that is far less work.
  let generation = 0
  let visits = VISITS_MAX
  for (const limit of [2, 4, 8, 16, 64, size * 4]) {
    let best: Step[] | undefined
    let starts = 0
    for (let u = 0; u < size && visits > 0; u++) {
      for (let k = graph.start[u] as number; k < (graph.start[u + 1] as number); k++) {
        if (graph.kind[k] !== shape.startKind) continue
        if (++starts > STARTS_MAX && best !== undefined) return best
        const steps = back(u, k, ++generation, best?.length ?? limit + 1)
        if (steps === undefined) continue
        if (best === undefined || steps.length < best.length) best = steps
        if (best.length === 2) return best
      }
    }
    if (best !== undefined || visits <= 0) return best
    if (limit >= size) return undefined
  }
  return undefined

  /** A cycle of fewer than `limit` steps that begins with edge `first` of `u`. */
  function back(u: number, first: number, generation: number, limit: number): Step[] | undefined {
    const v = graph.to[first] as number
    const begin = v * 4 + (shape.startKind === RW ? 1 : 0)
    const queue = [begin]
    mark[begin] = generation
    parent[begin] = -1
    depth[begin] = 1
    for (let i = 0; i < queue.length; i++) {
      const state = queue[i] as number
      if ((depth[state] as number) + 1 >= limit || --visits < 0) return undefined
      const x = state >> 2
      const afterRw = (state & 1) !== 0
      const hadRw = (state & 2) !== 0
      for (let k = graph.start[x] as number; k < (graph.start[x + 1] as number); k++) {
        const kind = graph.kind[k] as number
        if ((allowed & (1 << kind)) === 0) continue
        const isRw = kind === RW
        if (isRw && afterRw && !shape.adjacentAllowed) continue
        const y = graph.to[k] as number
        const next = y * 4 + (isRw ? 1 : 0) + (hadRw || isRw ? 2 : 0)
        if (
          y === u &&
          (!shape.moreRw || hadRw || isRw) &&
          !(isRw && !shape.adjacentAllowed && shape.startKind === RW)
        ) {
          const steps = unwind(state, k, first, u)
          if (steps !== undefined) return steps
          continue
        }
        if (mark[next] === generation) continue
        mark[next] = generation
        parent[next] = state
        parentEdge[next] = k
        depth[next] = (depth[state] as number) + 1
        queue.push(next)
      }
    }
    return undefined
  }

  function unwind(state: number, last: number, first: number, u: number): Step[] | undefined {
    const path: number[] = [last]
    const visited = [state >> 2]
    for (let s = state; parent[s] !== -1; s = parent[s] as number) {
      path.unshift(parentEdge[s] as number)
      visited.push((parent[s] as number) >> 2)
    }
    path.unshift(first)
    if (new Set(visited).size < visited.length || visited.includes(u)) return undefined // not a simple cycle
    const steps: Step[] = []
    let at = u
    for (const k of path) {
      steps.push({
        from: graph.nodes[at] as number,
        to: graph.nodes[graph.to[k] as number] as number,
        kind: graph.kind[k] as number,
        via: graph.via[k] as number,
      })
      at = graph.to[k] as number
    }
    return steps
  }
}
