// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { IntVector } from './int-vector.ts'

/**
 * Kinds of edges between transactions. `SO` the session's order, `RT` real time (one was answered before the other was
 * sent), `WW` the next version, `WR` read from, `RW` the version read was replaced (anti-dependency), `CO` an order
 * that an axiom forces.
 */
export const SO = 0
export const RT = 1
export const WW = 2
export const WR = 3
export const RW = 4
export const CO = 5
export const EDGE_NAMES = ['so', 'rt', 'ww', 'wr', 'rw', 'co'] as const

/** A list of edges. `via` is the micro-operation that explains an edge: the write that is read, or the newer write. */
export class Edges {
  readonly from = new IntVector(4096)
  readonly to = new IntVector(4096)
  readonly kind = new IntVector(4096)
  readonly via = new IntVector(4096)

  get length(): number {
    return this.from.length
  }

  add(from: number, to: number, kind: number, via: number): void {
    if (from === to) return
    this.from.push(from)
    this.to.push(to)
    this.kind.push(kind)
    this.via.push(via)
  }

  /** Takes back the edges from number `length` on. */
  truncate(length: number): void {
    for (const part of [this.from, this.to, this.kind, this.via]) part.length = length
  }
}

/** Outgoing edges grouped by node: edges of node u are `edge[start[u]]` up to `edge[start[u + 1]]`, as numbers in `edges`. */
export interface Outgoing {
  readonly nodes: number
  readonly edges: Edges
  readonly start: Int32Array
  readonly edge: Int32Array
  readonly to: Int32Array
}

/** Groups edges by where they begin, keeping those whose kind is in `kinds` and, where given, whose ends are in `within`. */
export function outgoing(edges: Edges, nodes: number, kinds = 0xff, within?: Uint8Array): Outgoing {
  const from = edges.from.view()
  const to = edges.to.view()
  const kind = edges.kind.view()
  const start = new Int32Array(nodes + 1)
  const keep = (e: number): boolean =>
    (kinds & (1 << (kind[e] as number))) !== 0 &&
    (within === undefined || (within[from[e] as number] === 1 && within[to[e] as number] === 1))
  let count = 0
  for (let e = 0; e < from.length; e++) {
    if (!keep(e)) continue
    start[(from[e] as number) + 1]! += 1
    count++
  }
  for (let u = 0; u < nodes; u++) start[u + 1]! += start[u] as number
  const place = start.slice(0, nodes)
  const edge = new Int32Array(count)
  const target = new Int32Array(count)
  for (let e = 0; e < from.length; e++) {
    if (!keep(e)) continue
    const at = place[from[e] as number]!++
    edge[at] = e
    target[at] = to[e] as number
  }
  return { nodes, edges, start, edge, to: target }
}

/** The strongly connected components with more than one node (Tarjan, iterative, linear). */
export function components(graph: { nodes: number; start: Int32Array; to: Int32Array }): Int32Array[] {
  const { nodes, start, to } = graph
  const index = new Int32Array(nodes) // 0: not visited
  const low = new Int32Array(nodes)
  const onStack = new Uint8Array(nodes)
  const cursor = new Int32Array(nodes)
  const stack = new IntVector()
  const path = new IntVector()
  const found: Int32Array[] = []
  let next = 1
  for (let root = 0; root < nodes; root++) {
    if (index[root] !== 0 || start[root] === start[root + 1]) continue
    path.push(root)
    while (path.length > 0) {
      const u = path.at(path.length - 1)
      if (index[u] === 0) {
        index[u] = low[u] = next++
        cursor[u] = start[u] as number
        stack.push(u)
        onStack[u] = 1
      }
      let descended = false
      const end = start[u + 1] as number
      let c = cursor[u] as number
      while (c < end) {
        const v = to[c++] as number
        if (index[v] === 0) {
          path.push(v)
          descended = true
          break
        }
        if (onStack[v] === 1 && (index[v] as number) < (low[u] as number)) low[u] = index[v] as number
      }
      cursor[u] = c
      if (descended) continue
      path.length--
      if (path.length > 0) {
        const parent = path.at(path.length - 1)
        if ((low[u] as number) < (low[parent] as number)) low[parent] = low[u] as number
      }
      if (low[u] !== index[u]) continue
      let size = 0
      for (;;) {
        const v = stack.at(stack.length - 1 - size)
        size++
        onStack[v] = 0
        if (v === u) break
      }
      if (size > 1) found.push(stack.view().slice(stack.length - size))
      stack.length -= size
    }
  }
  return found
}

/** A topological order of an acyclic graph; among the nodes that are free, the one with the least `rank` first. */
export function topologicalOrder(
  graph: { nodes: number; start: Int32Array; to: Int32Array },
  rank?: ArrayLike<number>,
): Int32Array {
  const { nodes, start, to } = graph
  const waiting = new Int32Array(nodes)
  for (let i = 0; i < to.length; i++) waiting[to[i] as number]! += 1
  if (rank === undefined) return anyOrder(graph, waiting)
  const heap: number[] = []
  const before = (a: number, b: number): boolean =>
    rank === undefined ? a < b : (rank[a] as number) < (rank[b] as number) || (rank[a] === rank[b] && a < b)
  const push = (u: number): void => {
    let i = heap.length
    heap.push(u)
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(u, heap[parent] as number)) break
      heap[i] = heap[parent] as number
      i = parent
    }
    heap[i] = u
  }
  const pop = (): number => {
    const top = heap[0] as number
    const last = heap.pop() as number
    const n = heap.length
    if (n === 0) return top
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= n) break
      if (child + 1 < n && before(heap[child + 1] as number, heap[child] as number)) child++
      if (!before(heap[child] as number, last)) break
      heap[i] = heap[child] as number
      i = child
    }
    heap[i] = last
    return top
  }
  for (let u = 0; u < nodes; u++) if (waiting[u] === 0) push(u)
  const order = new Int32Array(nodes)
  let filled = 0
  while (heap.length > 0) {
    const u = pop()
    order[filled++] = u
    for (let i = start[u] as number; i < (start[u + 1] as number); i++) {
      const v = to[i] as number
      if (--waiting[v]! === 0) push(v)
    }
  }
  return order.subarray(0, filled)
}

/** Kahn's algorithm with a plain queue, which is the order itself. */
function anyOrder(
  graph: { nodes: number; start: Int32Array; to: Int32Array },
  waiting: Int32Array,
): Int32Array {
  const order = new Int32Array(graph.nodes)
  let filled = 0
  for (let u = 0; u < graph.nodes; u++) if (waiting[u] === 0) order[filled++] = u
  for (let i = 0; i < filled; i++) {
    const u = order[i] as number
    for (let k = graph.start[u] as number; k < (graph.start[u + 1] as number); k++) {
      const v = graph.to[k] as number
      waiting[v]! -= 1
      if (waiting[v] === 0) order[filled++] = v
    }
  }
  return order.subarray(0, filled)
}
