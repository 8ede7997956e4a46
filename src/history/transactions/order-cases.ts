import type { Step } from './cycles.ts'
import { expand, type Graph, joinVirtual } from './forbidding-graph.ts'
import type { Edges } from './graph.ts'

/** An edge that an alternative would bring. */
export interface Candidate {
  readonly u: number
  readonly v: number
  readonly kind: number
  readonly via: number
}

/** One way to order the pairs, as far as it had to be gone, and the forbidden cycle that it closes. */
export interface OrderCase {
  /** Literals as in the solver: `2 p` is the first alternative of the p-th pair, `2 p + 1` the second. */
  readonly chosen: readonly number[]
  readonly cycle: readonly Step[]
}

export interface CaseInput {
  /** What is certain. */
  readonly graph: Graph
  readonly edges: Edges
  readonly keyNodesFrom: number
  readonly snapshot: boolean
  readonly transactions: number
  readonly pairs: number
  /** The edges that a literal brings. */
  edgesOf(literal: number): readonly Candidate[]
}

/** More cases than this nobody reads. */
const CASES_MAX = 16

/**
 * Goes through the ways to order a few pairs and gives the shortest forbidden cycle of each. A way is followed only
 * until it closes one, and pairs of which one alternative closes a cycle at once come first, so that the cases are few.
 * Undefined when they would be too many.
 */
export function orderCases(input: CaseInput): readonly OrderCase[] | undefined {
  const cases: OrderCase[] = []
  const go = (chosen: readonly number[], extra: readonly Candidate[]): boolean => {
    const open = Array.from({ length: input.pairs }, (_, p) => p).filter(
      (p) => !chosen.some((literal) => literal >> 1 === p),
    )
    const ways = open.map((p) => [2 * p, 2 * p + 1].map((literal) => tryLiteral(literal, extra)))
    const best = ways.toSorted((a, b) => closed(b) - closed(a))[0]
    if (best === undefined) return false // acyclic: no contradiction
    for (const { literal, added, cycle } of best) {
      const now = [...chosen, literal]
      if (cycle !== undefined) cases.push({ chosen: now, cycle })
      else if (!go(now, [...extra, ...added])) return false
      if (cases.length > CASES_MAX) return false
    }
    return true
  }
  return go([], []) ? cases : undefined

  function tryLiteral(literal: number, extra: readonly Candidate[]) {
    const added = input.edgesOf(literal)
    let cycle: readonly Step[] | undefined
    for (const edge of added) {
      const found = shortestCycleThrough(edge, [...extra, ...added], input)
      if (found !== undefined && (cycle === undefined || found.length < cycle.length)) cycle = found
    }
    return { literal, added, cycle }
  }
}

function closed(ways: readonly { readonly cycle: readonly Step[] | undefined }[]): number {
  return ways.filter(({ cycle }) => cycle !== undefined).length
}

/** The shortest way back from where `edge` ends to where it begins, along certain and chosen edges, closed by it. */
function shortestCycleThrough(
  edge: Candidate,
  chosen: readonly Candidate[],
  { graph, edges, keyNodesFrom, snapshot, transactions }: Omit<CaseInput, 'pairs' | 'edgesOf'>,
): Step[] | undefined {
  const added = new Map<number, { to: number; step: Step }[]>()
  for (const { u, v, kind, via } of chosen) {
    expand(u, v, kind, keyNodesFrom, snapshot, (a, b) => {
      added.set(a, [...(added.get(a) ?? []), { to: b, step: { from: u, to: v, kind, via } }])
    })
  }
  let best: Step[] | undefined
  expand(edge.u, edge.v, edge.kind, keyNodesFrom, snapshot, (a, b) => {
    const back = wayFrom(b, a)
    if (back === undefined) return
    const first = { from: edge.u, to: edge.v, kind: edge.kind, via: edge.via }
    const whole = joinVirtual([first, ...back], transactions)
    if (best === undefined || whole.length < best.length) best = whole
  })
  return best

  function wayFrom(begin: number, end: number): Step[] | undefined {
    const parent = new Int32Array(graph.nodes).fill(-1)
    const by = new Map<number, Step>()
    const queue = [begin]
    parent[begin] = begin
    for (let i = 0; i < queue.length && parent[end] === -1; i++) {
      const x = queue[i] as number
      const visit = (y: number, step: () => Step): void => {
        if (parent[y] !== -1) return
        parent[y] = x
        by.set(y, step())
        queue.push(y)
      }
      for (let k = graph.start[x] as number; k < (graph.start[x + 1] as number); k++) {
        visit(graph.to[k] as number, () => stepOf(graph.edge[k] as number))
      }
      for (const { to, step } of added.get(x) ?? []) visit(to, () => step)
    }
    if (parent[end] === -1) return undefined
    const steps: Step[] = []
    for (let y = end; y !== begin; y = parent[y] as number) steps.unshift(by.get(y) as Step)
    return steps
  }

  function stepOf(e: number): Step {
    return { from: edges.from.at(e), to: edges.to.at(e), kind: edges.kind.at(e), via: edges.via.at(e) }
  }
}
