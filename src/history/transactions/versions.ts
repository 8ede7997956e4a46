// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { NIL, type TransactionHistory } from './history.ts'
import type { Finding, Reads } from './reads.ts'

/**
 * What is known of the order in which a key's versions were installed, as chains: within a chain the order is known
 * and nothing lies between, of two chains the order is open.
 */
export interface Versions {
  /** Per installed write: the next version of the key in its chain, or -1. */
  readonly next: Int32Array
  /** Per key: the version right after the initial state, or -1 where it is not known or the key was never written. */
  readonly initial: Int32Array
  /** Keys whose order is open, with the first and last write of each chain. The chain that begins at `initial` is first. */
  readonly open: readonly OpenKey[]
  /** True when the history gives the order of every key of several versions. */
  readonly known: boolean
  readonly findings: readonly Finding[]
}

export interface OpenKey {
  readonly key: number
  readonly heads: readonly number[]
  readonly tails: readonly number[]
  /** True when the first chain comes right after the initial state, before all the others. */
  readonly firstIsFirst: boolean
}

/**
 * Orders versions by what was recorded: numbers of versions, or lists. With `inferred`, for levels at which a
 * transaction that reads a version and writes the key must write the very next one (snapshot isolation and above), such
 * writes are chained too; two of them on one version are a lost update.
 */
export function orderVersions(h: TransactionHistory, reads: Reads, inferred: boolean): Versions {
  const { installed, transactionOf, source, listOrder } = reads
  const ops = h.kind.length
  const next = new Int32Array(ops).fill(-1)
  const previous = new Int32Array(ops).fill(-1) // -1: nothing known
  const initial = new Int32Array(h.keys).fill(-1)
  const findings: Finding[] = []

  const writes = groupByKey(h, installed)
  const open: OpenKey[] = []
  let known = true

  // A declared order first.
  const ordered = new Uint8Array(h.keys)
  for (let key = 0; key < h.keys; key++) {
    const from = writes.start[key] as number
    const to = writes.start[key + 1] as number
    const count = to - from
    if (count === 0) continue
    let chain: readonly number[] | undefined
    if (count === 1) chain = [writes.op[from] as number]
    else if (listOrder !== undefined) chain = listOrder.get(key) ?? []
    else if (h.version !== undefined)
      chain = byVersionNumber(h, reads, writes.op.subarray(from, to), findings)
    if (chain === undefined) continue
    link(key, chain)
    if (chain.length === count) ordered[key] = 1
    else if (listOrder !== undefined && chain.length > 0) ordered[key] = 2 // the rest comes after what was seen
  }

  if (inferred) inferFromReads()

  for (let key = 0; key < h.keys; key++) {
    const from = writes.start[key] as number
    const to = writes.start[key + 1] as number
    if (to - from < 2 || ordered[key] === 1) continue
    known = false
    const heads: number[] = []
    const tails: number[] = []
    const first = initial[key] as number
    if (first !== -1) addChain(first)
    for (let i = from; i < to; i++) {
      const op = writes.op[i] as number
      if (previous[op] === -1 && op !== first) addChain(op)
    }
    if (heads.length > 1) open.push({ key, heads, tails, firstIsFirst: first !== -1 })
    else if (heads.length === 1 && first === -1) initial[key] = heads[0] as number
    function addChain(head: number): void {
      let tail = head
      while (next[tail] !== -1) tail = next[tail] as number
      heads.push(head)
      tails.push(tail)
    }
  }
  return { next, initial, open, known, findings }

  function link(key: number, chain: readonly number[]): void {
    if (chain.length > 0) initial[key] = chain[0] as number
    for (let i = 1; i < chain.length; i++) {
      next[chain[i - 1] as number] = chain[i] as number
      previous[chain[i] as number] = chain[i - 1] as number
    }
  }

  function inferFromReads(): void {
    const wrote = new Int32Array(h.keys).fill(-1)
    for (let t = 0; t < h.transactions; t++) {
      const begin = h.first[t] as number
      const end = h.first[t + 1] as number
      for (let op = begin; op < end; op++) if (installed[op] === 1) wrote[h.key[op] as number] = op
      for (let op = begin; op < end; op++) {
        const seen = source[op] as number
        const key = h.key[op] as number
        const write = wrote[key] as number
        if (seen < NIL || write < begin) continue
        if (seen !== NIL && installed[seen] === 0) continue
        const after = seen === NIL ? (initial[key] as number) : (next[seen] as number)
        if (after === write) continue
        const rival = after === -1 ? -1 : (transactionOf[after] as number)
        if (rival !== -1 && rivalRead(rival, key, seen)) {
          findings.push({
            type: 'lost-update',
            transactions: [rival, t],
            text: `${h.showTransaction(rival)} and ${h.showTransaction(t)} both read ${h.showKey(key)} = ${h.showValue(seen === NIL ? NIL : (h.value[seen] as number))} and both wrote ${h.showKey(key)}: one of the two updates is lost.`,
          })
          continue
        }
        if (ordered[key] === 1 || after !== -1 || previous[write] !== -1) continue
        if (seen === NIL) {
          initial[key] = write
          previous[write] = NIL - 1 // begins the first chain
        } else if (!reaches(write, seen)) {
          next[seen] = write
          previous[write] = seen
        }
      }
    }
  }

  function rivalRead(rival: number, key: number, seen: number): boolean {
    for (let op = h.first[rival] as number; op < (h.first[rival + 1] as number); op++) {
      if (h.key[op] === key && source[op] === seen) return true
    }
    return false
  }

  /** A chain must not close upon itself: that would be a cycle of reads, which the graph reports. */
  function reaches(from: number, target: number): boolean {
    for (let at = from; at !== -1; at = next[at] as number) if (at === target) return true
    return false
  }
}

function groupByKey(h: TransactionHistory, installed: Uint8Array): { start: Int32Array; op: Int32Array } {
  const start = new Int32Array(h.keys + 1)
  for (let op = 0; op < installed.length; op++)
    if (installed[op] === 1) start[(h.key[op] as number) + 1]! += 1
  for (let key = 0; key < h.keys; key++) start[key + 1]! += start[key] as number
  const place = start.slice(0, h.keys)
  const op = new Int32Array(start[h.keys] as number)
  for (let o = 0; o < installed.length; o++) if (installed[o] === 1) op[place[h.key[o] as number]!++] = o
  return { start, op }
}

/** The writes in the order of their version numbers; undefined when one has none or two share one, which is noted. */
function byVersionNumber(
  h: TransactionHistory,
  reads: Reads,
  ops: Int32Array,
  findings: Finding[],
): readonly number[] | undefined {
  const version = h.version as Float64Array
  for (let i = 0; i < ops.length; i++) if (Number.isNaN(version[ops[i] as number])) return undefined
  let sorted = true
  for (let i = 1; i < ops.length && sorted; i++) {
    sorted = (version[ops[i - 1] as number] as number) < (version[ops[i] as number] as number)
  }
  if (sorted) return ops as unknown as readonly number[]
  const order = Array.from(ops).sort((a, b) => (version[a] as number) - (version[b] as number))
  for (let i = 1; i < order.length; i++) {
    if (version[order[i - 1] as number] !== version[order[i] as number]) continue
    const pair = [order[i - 1] as number, order[i] as number].map((op) => reads.transactionOf[op] as number)
    const [a, b] = pair.map(h.showTransaction)
    findings.push({
      type: 'duplicate',
      transactions: pair,
      text: `${a} and ${b} both made version ${version[order[i] as number]} of ${h.showKey(h.key[order[i] as number] as number)}.`,
    })
    return undefined
  }
  return order
}
