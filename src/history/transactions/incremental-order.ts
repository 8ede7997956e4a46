// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form

/** A directed graph that is acyclic, its edges grouped by where they begin, with a topological order of it. */
export interface OrderedGraph {
  readonly nodes: number
  readonly start: Int32Array
  readonly to: Int32Array
  readonly order: Int32Array
}

/**
 * Keeps a topological order while labelled edges come, and go in the reverse order (Pearce and Kelly, "A Dynamic
 * Topological Sort Algorithm", 2006). Taking edges away needs no work on the order: it stays one of what is left.
 */
export class IncrementalOrder {
  readonly #graph: OrderedGraph
  readonly #position: Int32Array
  readonly #back: { readonly start: Int32Array; readonly to: Int32Array }
  /** Per node the added edges: where to and the label, and where from. */
  readonly #out: number[][]
  readonly #into: number[][]
  readonly #added: number[] = []
  /** Marks carry a generation so that they need no clearing. */
  readonly #mark: Int32Array
  #generation = 0
  readonly #parent: Int32Array
  readonly #parentLabel: Int32Array
  readonly #ahead: number[] = []
  readonly #behind: number[] = []

  constructor(graph: OrderedGraph) {
    const { nodes } = graph
    this.#graph = graph
    this.#position = new Int32Array(nodes)
    for (let i = 0; i < nodes; i++) this.#position[graph.order[i] as number] = i
    this.#back = reverse(graph)
    this.#out = Array.from({ length: nodes }, () => [])
    this.#into = Array.from({ length: nodes }, () => [])
    this.#mark = new Int32Array(nodes)
    this.#parent = new Int32Array(nodes)
    this.#parentLabel = new Int32Array(nodes)
  }

  /** A mark for `undoTo`. */
  get edges(): number {
    return this.#added.length
  }

  isBefore(a: number, b: number): boolean {
    return (this.#position[a] as number) < (this.#position[b] as number)
  }

  /** Adds u → v. Where that closes a cycle nothing is added, and the labels on the cycle are answered. */
  insert(u: number, v: number, label: number): number[] | undefined {
    const low = this.#position[v] as number
    const high = this.#position[u] as number
    if (low <= high) {
      if (u === v) return [label]
      const cycle = this.#lookAhead(u, v, high, label)
      if (cycle !== undefined) return cycle
      this.#lookBehind(u, low)
      this.#reorder()
    }
    this.#out[u]!.push(v, label)
    this.#into[v]!.push(u)
    this.#added.push(u, v)
    return undefined
  }

  undoTo(edges: number): void {
    for (let e = this.#added.length - 2; e >= edges; e -= 2) {
      this.#out[this.#added[e] as number]!.length -= 2
      this.#into[this.#added[e + 1] as number]!.length -= 1
    }
    this.#added.length = edges
  }

  /** Collects what v reaches up to the place of u; answers the labels of the cycle when u is among it. */
  #lookAhead(u: number, v: number, high: number, label: number): number[] | undefined {
    const [ahead, position, mark, parent, parentLabel] = [
      this.#ahead,
      this.#position,
      this.#mark,
      this.#parent,
      this.#parentLabel,
    ]
    const { start, to } = this.#graph
    const generation = ++this.#generation
    ahead.length = 0
    ahead.push(v)
    mark[v] = generation
    for (let i = 0; i < ahead.length; i++) {
      const x = ahead[i] as number
      const visit = (y: number, by: number): boolean => {
        if (mark[y] === generation || (position[y] as number) > high) return false
        mark[y] = generation
        parent[y] = x
        parentLabel[y] = by
        ahead.push(y)
        return y === u
      }
      let met = false
      for (let k = start[x] as number; k < (start[x + 1] as number) && !met; k++)
        met = visit(to[k] as number, -1)
      const added = this.#out[x] as number[]
      for (let k = 0; k < added.length && !met; k += 2)
        met = visit(added[k] as number, added[k + 1] as number)
      if (!met) continue
      const cycle = [label]
      for (let y = u; y !== v; y = parent[y] as number) {
        const by = parentLabel[y] as number
        if (by >= 0 && !cycle.includes(by)) cycle.push(by)
      }
      return cycle
    }
    return undefined
  }

  /** Collects what reaches u from the place of v on. */
  #lookBehind(u: number, low: number): void {
    const [behind, position, mark, back] = [this.#behind, this.#position, this.#mark, this.#back]
    const generation = ++this.#generation
    behind.length = 0
    behind.push(u)
    mark[u] = generation
    for (let i = 0; i < behind.length; i++) {
      const x = behind[i] as number
      const visit = (y: number): void => {
        if (mark[y] === generation || (position[y] as number) < low) return
        mark[y] = generation
        behind.push(y)
      }
      for (let k = back.start[x] as number; k < (back.start[x + 1] as number); k++)
        visit(back.to[k] as number)
      for (const y of this.#into[x] as number[]) visit(y)
    }
  }

  /** Gives the places of both together to those behind first and then to those ahead. */
  #reorder(): void {
    const [ahead, behind, position] = [this.#ahead, this.#behind, this.#position]
    const byPosition = (a: number, b: number): number => (position[a] as number) - (position[b] as number)
    behind.sort(byPosition)
    ahead.sort(byPosition)
    const places = [...behind, ...ahead].map((x) => position[x] as number).sort((a, b) => a - b)
    let p = 0
    for (const x of behind) position[x] = places[p++] as number
    for (const x of ahead) position[x] = places[p++] as number
  }
}

function reverse(graph: { nodes: number; start: Int32Array; to: Int32Array }): {
  start: Int32Array
  to: Int32Array
} {
  const start = new Int32Array(graph.nodes + 1)
  for (let i = 0; i < graph.to.length; i++) start[(graph.to[i] as number) + 1]! += 1
  for (let u = 0; u < graph.nodes; u++) start[u + 1]! += start[u] as number
  const place = start.slice(0, graph.nodes)
  const to = new Int32Array(graph.to.length)
  for (let u = 0; u < graph.nodes; u++) {
    for (let i = graph.start[u] as number; i < (graph.start[u + 1] as number); i++)
      to[place[graph.to[i] as number]!++] = u
  }
  return { start, to }
}
