/**
 * The slow truth: every serial order, every interleaving of starts and commits, every order of versions. Written from
 * the definitions, without a graph, to compare the checker with on small histories.
 */
export interface SmallOp {
  readonly f: 'r' | 'w' | 'a' | 'l' | 'add' | 'set'
  readonly key: string
  /** `r`: a value or null; `w`, `a`, `add`: a value; `l`: a list; `set`: its elements, ascending. */
  readonly value: number | null | readonly number[]
  readonly version?: number
}

export interface SmallTransaction {
  readonly session: string
  readonly status: 'ok' | 'fail' | 'info'
  readonly interval?: readonly [number, number]
  readonly ops: readonly SmallOp[]
}

type State = Map<string, number | null | readonly number[]>

export interface OracleRules {
  readonly session: boolean
  readonly realTime: boolean
}

export function serializable(all: readonly SmallTransaction[], rules: OracleRules): boolean {
  return someWorld(all, (txns) =>
    somePermutation(txns.length, precedence(txns, rules), (order) => {
      const state: State = new Map()
      for (const i of order) {
        if (!run(txns[i] as SmallTransaction, state)) return false
      }
      return versionsFollow(order.map((i) => txns[i] as SmallTransaction))
    }),
  )
}

/** Snapshots are any earlier committed state; two that overlap must not write one key. */
export function snapshotIsolated(all: readonly SmallTransaction[], rules: OracleRules): boolean {
  return someWorld(all, (txns) => {
    const before = precedence(txns, rules)
    const n = txns.length
    const started: State[] = []
    const startedAt: number[] = new Array(n).fill(-1)
    const committedAt: number[] = new Array(n).fill(-1)
    const commits: number[] = []
    const go = (clock: number, state: State): boolean => {
      if (commits.length === n) return versionsFollow(commits.map((i) => txns[i] as SmallTransaction))
      for (let i = 0; i < n; i++) {
        if (startedAt[i] === -1) {
          if (before.some(([a, b]) => b === i && committedAt[a] === -1)) continue
          startedAt[i] = clock
          started[i] = state
          if (go(clock + 1, state)) return true
          startedAt[i] = -1
        } else if (committedAt[i] === -1) {
          const writes = keysWritten(txns[i] as SmallTransaction)
          const clash = commits.some(
            (c) =>
              (committedAt[c] as number) > (startedAt[i] as number) &&
              keysWritten(txns[c] as SmallTransaction).some((k) => writes.includes(k)),
          )
          if (clash) continue
          const seen: State = new Map(started[i])
          if (!run(txns[i] as SmallTransaction, seen)) continue
          const after: State = new Map(state)
          for (const key of writes) after.set(key, seen.get(key) ?? null)
          committedAt[i] = clock
          commits.push(i)
          if (go(clock + 1, after)) return true
          commits.pop()
          committedAt[i] = -1
        }
      }
      return false
    }
    return go(0, new Map())
  })
}

/** Biswas and Enea's axioms, by trying every commit order. For transactions that write a key once, after reading it. */
export function axiomatic(
  all: readonly SmallTransaction[],
  level: 'read-committed' | 'read-atomic' | 'causal',
  session: boolean,
): boolean {
  const txns = all.filter((t) => t.status === 'ok')
  const writer = new Map<string, number>()
  txns.forEach((t, i) => {
    for (const op of t.ops) if (op.f === 'w') writer.set(`${op.key} ${op.value}`, i)
  })
  const so: [number, number][] = []
  const wr: [number, number][] = []
  for (let i = 0; i < txns.length; i++) {
    for (let j = i + 1; j < txns.length; j++) {
      if (session && txns[i]?.session === txns[j]?.session) so.push([i, j])
    }
    for (const op of txns[i]?.ops ?? []) {
      if (op.f !== 'r' || op.value === null) continue
      const by = writer.get(`${op.key} ${op.value}`)
      if (by === undefined) return false
      if (by !== i) wr.push([by, i])
    }
  }
  const direct = [...so, ...wr]
  const happensBefore = closure(txns.length, direct)
  return somePermutation(txns.length, direct, (order) => {
    const at = (i: number): number => order.indexOf(i)
    for (let t3 = 0; t3 < txns.length; t3++) {
      const ops = (txns[t3] as SmallTransaction).ops
      for (let p = 0; p < ops.length; p++) {
        const op = ops[p] as SmallOp
        if (op.f !== 'r' || ops.slice(0, p).some((o) => o.f === 'w' && o.key === op.key)) continue
        const t1 = op.value === null ? -1 : (writer.get(`${op.key} ${op.value}`) as number)
        if (t1 === t3) return false
        for (let t2 = 0; t2 < txns.length; t2++) {
          if (t2 === t1 || t2 === t3 || !keysWritten(txns[t2] as SmallTransaction).includes(op.key)) continue
          const visible =
            level === 'read-committed'
              ? ops
                  .slice(0, p)
                  .some((o) => o.f === 'r' && o.value !== null && writer.get(`${o.key} ${o.value}`) === t2)
              : level === 'read-atomic'
                ? direct.some(([a, b]) => a === t2 && b === t3)
                : happensBefore[t2]?.[t3] === true
          if (visible && (t1 === -1 || at(t2) > at(t1))) return false
        }
      }
    }
    return versionsFollow(order.map((i) => txns[i] as SmallTransaction))
  })
}

/** Adya: some order of versions without a cycle of ww edges (and wr edges, for read committed). */
export function withoutCycles(all: readonly SmallTransaction[], withReads: boolean): boolean {
  // A cycle-free graph of ww (and wr) edges has a topological order, and orders the versions of every key along it.
  const txns = all.filter((t) => t.status === 'ok')
  const wr: [number, number][] = []
  txns.forEach((t, i) => {
    for (const op of t.ops) {
      if (op.f !== 'r' || op.value === null) continue
      const by = txns.findIndex((o) =>
        o.ops.some((w) => w.f === 'w' && w.key === op.key && w.value === op.value),
      )
      if (by !== i && withReads) wr.push([by, i])
    }
  })
  return somePermutation(txns.length, wr, (order) =>
    versionsFollow(order.map((i) => txns[i] as SmallTransaction)),
  )
}

function keysWritten(t: SmallTransaction): string[] {
  return t.ops.filter((op) => op.f === 'w' || op.f === 'a').map((op) => op.key)
}

/** Runs a transaction on a state; false when it could not have read what it says. */
function run(t: SmallTransaction, state: State): boolean {
  for (const op of t.ops) {
    if (op.f === 'w') state.set(op.key, op.value)
    else if (op.f === 'a')
      state.set(op.key, [
        ...((state.get(op.key) as readonly number[] | null | undefined) ?? []),
        op.value as number,
      ])
    else if (op.f === 'add') {
      const held = (state.get(op.key) as readonly number[] | null | undefined) ?? []
      state.set(
        op.key,
        [...held, op.value as number].sort((a, b) => a - b),
      )
    } else if (t.status !== 'ok') continue
    else if (op.f === 'r' && (state.get(op.key) ?? null) !== op.value) return false
    else if (
      (op.f === 'l' || op.f === 'set') &&
      JSON.stringify(state.get(op.key) ?? []) !== JSON.stringify(op.value)
    )
      return false
  }
  return true
}

function versionsFollow(order: readonly SmallTransaction[]): boolean {
  const last = new Map<string, number>()
  for (const t of order) {
    for (const op of t.ops) {
      if (op.f !== 'w' || op.version === undefined) continue
      if ((last.get(op.key) ?? -1) >= op.version) return false
      last.set(op.key, op.version)
    }
  }
  return true
}

function precedence(txns: readonly SmallTransaction[], rules: OracleRules): [number, number][] {
  const pairs: [number, number][] = []
  txns.forEach((a, i) => {
    txns.forEach((b, j) => {
      if (rules.session && i < j && a.session === b.session && a.status === 'ok') pairs.push([i, j])
      if (
        rules.realTime &&
        a.status === 'ok' &&
        a.interval !== undefined &&
        b.interval !== undefined &&
        a.interval[1] < b.interval[0]
      ) {
        pairs.push([i, j])
      }
    })
  })
  return pairs
}

/** Tries every choice of which unanswered transactions took effect. */
function someWorld(
  all: readonly SmallTransaction[],
  holds: (txns: readonly SmallTransaction[]) => boolean,
): boolean {
  const open = all.filter((t) => t.status === 'info')
  for (let mask = 0; mask < 1 << open.length; mask++) {
    const chosen = all.filter(
      (t) => t.status === 'ok' || (t.status === 'info' && (mask & (1 << open.indexOf(t))) !== 0),
    )
    if (holds(chosen)) return true
  }
  return false
}

function somePermutation(
  n: number,
  before: readonly (readonly [number, number])[],
  holds: (order: readonly number[]) => boolean,
): boolean {
  const order: number[] = []
  const used = new Array<boolean>(n).fill(false)
  const go = (): boolean => {
    if (order.length === n) return holds(order)
    for (let i = 0; i < n; i++) {
      if (used[i] || before.some(([a, b]) => b === i && !used[a])) continue
      used[i] = true
      order.push(i)
      if (go()) return true
      order.pop()
      used[i] = false
    }
    return false
  }
  return go()
}

function closure(n: number, edges: readonly (readonly [number, number])[]): boolean[][] {
  const reach = Array.from({ length: n }, () => new Array<boolean>(n).fill(false))
  for (const [a, b] of edges) (reach[a] as boolean[])[b] = true
  for (let k = 0; k < n; k++) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) if (reach[i]?.[k] && reach[k]?.[j]) (reach[i] as boolean[])[j] = true
    }
  }
  return reach
}
