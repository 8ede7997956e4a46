// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import type { Step } from './cycles.ts'
import { type Edges, outgoing, RW } from './graph.ts'
import { IntVector } from './int-vector.ts'

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

/** The edges of the forbidding graph that one dependency makes. */
export function expand(
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

/** Who reaches whom, as bits: row u has bit v. */
export function closure(graph: Graph, order: Int32Array): (u: number, v: number) => boolean {
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
