// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { ActivityHeap } from './activity-heap.ts'
import { IncrementalOrder } from './incremental-order.ts'

/**
 * Chooses one of two alternatives for every pair so that a directed graph stays acyclic: conflict-driven clause
 * learning (Marques-Silva and Sakallah, GRASP) over the choices, with the order of the graph kept while edges come and
 * go (Pearce and Kelly, "A Dynamic Topological Sort Algorithm", 2006). A cycle is a conflict whose clause is the
 * choices on it. Literal `2 v` is the first alternative of pair v, `2 v + 1` the second.
 */
export interface Alternatives {
  readonly nodes: number
  /** Edges that hold anyway, grouped by where they begin; acyclic. */
  readonly start: Int32Array
  readonly to: Int32Array
  /** A topological order of them, which also guides the first choices. */
  readonly order: Int32Array
  readonly pairs: number
  /** Calls `emit` for every edge that a literal brings. */
  edgesOf(literal: number, emit: (from: number, to: number) => void): void
  /** The two nodes whose order tells the alternative to try first: first before second means the first alternative. */
  hint(pair: number): readonly [number, number]
  /** True when time is up. */
  expired(): boolean
  /** Conflicts after which the answer is `unknown`. Without it there is no such bound. */
  readonly conflictsMax?: number
}

export type Choice =
  | { readonly kind: 'chosen'; readonly first: Uint8Array }
  /** `pairs` were met in contradictions, the latest first. */
  | { readonly kind: 'impossible'; readonly pairs: readonly number[]; readonly conflicts: number }
  | { readonly kind: 'unknown'; readonly reason: string }

const LEARNED_LITERALS_MAX = 20_000_000

export function chooseAcyclic(problem: Alternatives): Choice {
  const { pairs } = problem
  const order = new IncrementalOrder(problem)

  const value = new Int8Array(pairs) // 1 first alternative, -1 second, 0 open
  const level = new Int32Array(pairs)
  const reason: (readonly number[] | undefined)[] = new Array(pairs)
  const saved = new Int8Array(pairs)
  const activity = new Float64Array(pairs)
  let bump = 1
  const trail: number[] = []
  const trailEdges: number[] = []
  const levelStart: number[] = []
  let head = 0
  const watches: (readonly number[])[][] = Array.from({ length: pairs * 2 }, () => [])
  let learned = 0
  let conflicts = 0

  const heap = new ActivityHeap(activity)
  for (let v = 0; v < pairs; v++) heap.push(v)

  const truth = (literal: number): number => {
    const x = value[literal >> 1] as number
    return (literal & 1) === 0 ? x : -x
  }
  const assign = (literal: number, why: readonly number[] | undefined): void => {
    const v = literal >> 1
    value[v] = (literal & 1) === 0 ? 1 : -1
    level[v] = levelStart.length
    reason[v] = why
    trail.push(literal)
    trailEdges.push(-1)
  }
  const undoTo = (target: number): void => {
    if (levelStart.length <= target) return
    const keep = levelStart[target] as number
    let edgesKept = order.edges
    for (let i = trail.length - 1; i >= keep; i--) {
      const v = (trail[i] as number) >> 1
      saved[v] = value[v] as number
      value[v] = 0
      heap.push(v)
      if ((trailEdges[i] as number) >= 0) edgesKept = trailEdges[i] as number
    }
    order.undoTo(edgesKept)
    trail.length = keep
    trailEdges.length = keep
    levelStart.length = target
    head = Math.min(head, keep)
  }

  /** Answers a clause whose literals are all false, or undefined. */
  const propagate = (): readonly number[] | undefined => {
    while (head < trail.length) {
      const at = head++
      const literal = trail[at] as number
      if (trailEdges[at] === -1) {
        trailEdges[at] = order.edges
        let cycle: number[] | undefined
        problem.edgesOf(literal, (u, v) => {
          cycle ??= order.insert(u, v, literal)
        })
        if (cycle !== undefined) return cycle.map((l) => l ^ 1)
      }
      const falsified = literal ^ 1
      const list = watches[falsified] as (readonly number[])[]
      let kept = 0
      for (let i = 0; i < list.length; i++) {
        const clause = list[i] as number[]
        if (clause[0] === falsified) {
          clause[0] = clause[1] as number
          clause[1] = falsified
        }
        if (truth(clause[0] as number) === 1) {
          list[kept++] = clause
          continue
        }
        let moved = false
        for (let k = 2; k < clause.length; k++) {
          if (truth(clause[k] as number) === -1) continue
          clause[1] = clause[k] as number
          clause[k] = falsified
          watches[clause[1] as number]!.push(clause)
          moved = true
          break
        }
        if (moved) continue
        list[kept++] = clause
        if (truth(clause[0] as number) === -1) {
          for (i++; i < list.length; i++) list[kept++] = list[i] as number[]
          list.length = kept
          return clause
        }
        assign(clause[0] as number, clause)
      }
      list.length = kept
    }
    return undefined
  }

  const seen = new Uint8Array(pairs)
  /** First unique implication point: the learned clause, its asserting literal first. */
  const analyze = (conflict: readonly number[]): number[] => {
    const clause: number[] = [-1]
    const touched: number[] = []
    let open = 0
    let at = trail.length - 1
    let clauseNow: readonly number[] = conflict
    let pivot = -1
    for (;;) {
      for (const literal of clauseNow) {
        const v = literal >> 1
        if (literal === pivot || seen[v] === 1 || level[v] === 0) continue
        seen[v] = 1
        touched.push(v)
        activity[v]! += bump
        heap.changed(v)
        if (level[v] === levelStart.length) open++
        else clause.push(literal)
      }
      while (seen[(trail[at] as number) >> 1] === 0) at--
      pivot = trail[at--] as number
      open--
      if (open === 0) break
      clauseNow = reason[pivot >> 1] as readonly number[]
    }
    clause[0] = pivot ^ 1
    for (const v of touched) seen[v] = 0
    bump *= 1.05
    if (bump > 1e100) {
      for (let v = 0; v < pairs; v++) activity[v]! *= 1e-100
      bump *= 1e-100
    }
    return clause
  }

  let untilRestart = 200
  let restarts = 1
  const involved = new Map<number, number>()
  for (let steps = 0; ; steps++) {
    const conflict = propagate()
    if (conflict !== undefined) {
      conflicts++
      if (conflicts < 100_000) for (const l of conflict) involved.set(l >> 1, conflicts)
      // A cycle may lie below the current level once choices were undone: go back to where it arose.
      let top = 0
      for (const literal of conflict) top = Math.max(top, level[literal >> 1] as number)
      if (top === 0) {
        const latest = [...involved].sort((a, b) => b[1] - a[1])
        return { kind: 'impossible', pairs: latest.map(([v]) => v), conflicts }
      }
      if (conflicts === problem.conflictsMax) {
        return { kind: 'unknown', reason: `more than ${conflicts} conflicts` }
      }
      undoTo(top)
      const clause = analyze(conflict)
      let target = 0
      for (let i = 1; i < clause.length; i++) {
        const l = level[(clause[i] as number) >> 1] as number
        if (l > target) {
          target = l
          const swap = clause[1] as number
          clause[1] = clause[i] as number
          clause[i] = swap
        }
      }
      undoTo(target)
      if (clause.length > 1) {
        watches[clause[0] as number]!.push(clause)
        watches[clause[1] as number]!.push(clause)
        learned += clause.length
        if (learned > LEARNED_LITERALS_MAX) {
          return {
            kind: 'unknown',
            reason: `the search learned ${conflicts} conflicts and would need more memory`,
          }
        }
      }
      assign(clause[0] as number, clause.length > 1 ? clause : undefined)
      if (--untilRestart <= 0) {
        restarts++
        untilRestart = 200 * luby(restarts)
        undoTo(0)
      }
    } else {
      let v = heap.pop()
      while (v !== -1 && value[v] !== 0) v = heap.pop()
      if (v === -1) {
        const first = new Uint8Array(pairs)
        for (let i = 0; i < pairs; i++) first[i] = value[i] === 1 ? 1 : 0
        return { kind: 'chosen', first }
      }
      levelStart.push(trail.length)
      const [a, b] = problem.hint(v)
      const prefersFirst = saved[v] !== 0 ? saved[v] === 1 : order.isBefore(a, b)
      assign(v * 2 + (prefersFirst ? 0 : 1), undefined)
    }
    if ((steps & 63) === 0 && problem.expired()) {
      return {
        kind: 'unknown',
        reason: `time was up after ${conflicts} conflicts in the search for an order of versions`,
      }
    }
  }
}

/** 1, 1, 2, 1, 1, 2, 4, … (Luby, Sinclair, Zuckerman). */
function luby(i: number): number {
  let k = 1
  while ((1 << k) - 1 < i) k++
  return (1 << k) - 1 === i ? 1 << (k - 1) : luby(i - (1 << (k - 1)) + 1)
}
