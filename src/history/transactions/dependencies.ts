// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { type Edges, RT, RW, SO, WR, WW } from './graph.ts'
import { NIL, type TransactionHistory } from './history.ts'
import type { Reads } from './reads.ts'
import type { Versions } from './versions.ts'

/** The session's order, between neighbours. None leaves an unanswered transaction: it may take effect later. */
export function sessionEdges(h: TransactionHistory, committed: Uint8Array, edges: Edges): void {
  const last = new Int32Array(h.sessions).fill(-1)
  for (let t = 0; t < h.transactions; t++) {
    if (committed[t] === 0) continue
    const session = h.session[t] as number
    if (last[session] !== -1) edges.add(last[session] as number, t, SO, -1)
    if (h.status[t] === 0) last[session] = t
  }
}

/**
 * Real time: a transaction answered before another was sent comes first. Nodes from `base` on stand for instants, so
 * that the edges stay linear. Answers the number of such nodes.
 */
export function realTimeEdges(
  h: TransactionHistory,
  committed: Uint8Array,
  edges: Edges,
  base: number,
): number {
  const answered: number[] = []
  for (let t = 0; t < h.transactions; t++) {
    if (committed[t] === 1 && h.status[t] === 0 && (h.completedAt[t] as number) >= 0) answered.push(t)
  }
  answered.sort((a, b) => (h.completedAt[a] as number) - (h.completedAt[b] as number))
  const times = new Float64Array(answered.length)
  for (let i = 0; i < answered.length; i++) {
    times[i] = h.completedAt[answered[i] as number] as number
    edges.add(answered[i] as number, base + i, RT, -1)
    if (i > 0) edges.add(base + i - 1, base + i, RT, -1)
  }
  for (let t = 0; t < h.transactions; t++) {
    const sent = h.invokedAt[t] as number
    if (committed[t] === 0 || sent < 0) continue
    let low = 0
    let high = times.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((times[middle] as number) < sent) low = middle + 1
      else high = middle
    }
    if (low > 0) edges.add(base + low - 1, t, RT, -1)
  }
  return answered.length
}

/** True when the history tells when transactions were sent and answered, or holds too few for that to matter. */
export function tellsTime(h: TransactionHistory, committed: Uint8Array): boolean {
  let many = 0
  let sent = false
  let answered = false
  for (let t = 0; t < h.transactions; t++) {
    if (committed[t] === 0) continue
    many++
    sent ||= (h.invokedAt[t] as number) >= 0
    answered ||= (h.completedAt[t] as number) >= 0 || h.status[t] !== 0
  }
  return many < 2 || (sent && answered)
}

/** ww, wr and rw edges as far as the order of versions is known. */
export function dataEdges(h: TransactionHistory, reads: Reads, versions: Versions, edges: Edges): void {
  const { source, transactionOf, installed } = reads
  for (const [older, newer] of reads.interleaved) {
    edges.add(transactionOf[older] as number, transactionOf[newer] as number, WW, newer)
  }
  for (let op = 0; op < source.length; op++) {
    const by = transactionOf[op] as number
    if (installed[op] === 1) {
      const after = versions.next[op] as number
      if (after !== -1) edges.add(by, transactionOf[after] as number, WW, after)
      continue
    }
    const seen = source[op] as number
    if (seen < NIL) continue
    let replaced: number
    if (seen === NIL) replaced = versions.initial[h.key[op] as number] as number
    else {
      edges.add(transactionOf[seen] as number, by, WR, seen)
      replaced = installed[seen] === 1 ? (versions.next[seen] as number) : replacementOf(h, reads, seen)
    }
    if (replaced !== -1) edges.add(by, transactionOf[replaced] as number, RW, replaced)
  }
}

/** What replaced an intermediate version: its own transaction's last write of the key. */
function replacementOf(h: TransactionHistory, reads: Reads, write: number): number {
  const t = reads.transactionOf[write] as number
  if (reads.committed[t] === 0) return -1
  for (let op = (h.first[t + 1] as number) - 1; op > write; op--) {
    if (h.key[op] === h.key[write] && reads.installed[op] === 1) return op
  }
  return -1
}

/**
 * Edges that hold whichever way the open keys are ordered: the first chain before all others, and who saw the end of
 * the first chain (or the initial state) before the others' heads. One node per key, from `base` on, keeps them linear.
 * Answers the number of such nodes.
 */
export function openKeyEdges(
  reads: Reads,
  versions: Versions,
  readersOf: (write: number, key: number) => Int32Array,
  edges: Edges,
  base: number,
): number {
  let nodes = 0
  for (const { key, heads, tails, firstIsFirst } of versions.open) {
    const last = firstIsFirst ? (tails[0] as number) : NIL
    const readers = readersOf(last, key)
    const later = firstIsFirst ? heads.slice(1) : heads
    if (firstIsFirst) {
      const by = reads.transactionOf[last] as number
      for (const head of later) edges.add(by, reads.transactionOf[head] as number, WW, head)
    }
    const writers = new Set(later.map((head) => reads.transactionOf[head] as number))
    const clashes = readers.some((reader) => writers.has(reader))
    if (!clashes && readers.length * later.length > readers.length + later.length) {
      const node = base + nodes++
      for (const reader of readers) edges.add(reader, node, RW, -1)
      for (const head of later) edges.add(node, reads.transactionOf[head] as number, RW, head)
    } else {
      for (const reader of readers) {
        for (const head of later) edges.add(reader, reads.transactionOf[head] as number, RW, head)
      }
    }
  }
  return nodes
}
