// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { CO, type Edges, type Outgoing, topologicalOrder } from './graph.ts'
import { NIL, type TransactionHistory } from './history.ts'
import { PairTable } from './intern.ts'
import type { Finding, Reads } from './reads.ts'

/**
 * The axioms of Biswas and Enea ("On the Complexity of Checking Transactional Consistency", OOPSLA 2019) for the levels
 * that can be decided in polynomial time. Each has the shape: when t3 reads x from t1, and t2 also writes x and is
 * visible to t3, then t2 commits before t1. They differ in what visible means. The forced orders are added to `edges`
 * as `CO`, explained by the read; a read of the initial state with a visible writer is a finding at once. The level
 * holds exactly when the session order, wr and all forced orders together are acyclic.
 */
export interface AxiomInput {
  readonly history: TransactionHistory
  readonly reads: Reads
  readonly edges: Edges
  readonly sessionOrder: boolean
  readonly findings: Finding[]
}

/** Read committed: t2 was read earlier in t3. */
export function forceReadCommitted(input: AxiomInput): void {
  const { history: h, reads } = input
  const wrote = writesByTransaction(h, reads)
  const lastReadOf = new Int32Array(h.keys).fill(-1)
  const earlierRead = new Int32Array(h.kind.length)
  for (let t3 = 0; t3 < h.transactions; t3++) {
    const begin = h.first[t3] as number
    const end = h.first[t3 + 1] as number
    let count = 0
    for (let op = begin; op < end; op++) {
      if ((reads.source[op] as number) < NIL) continue
      const key = h.key[op] as number
      earlierRead[op] = (lastReadOf[key] as number) >= begin ? (lastReadOf[key] as number) : -1
      lastReadOf[key] = op
      count++
    }
    if (count < 2) continue
    const met = new Set<number>()
    for (let op = begin; op < end; op++) {
      const seen = reads.source[op] as number
      if (seen < 0) continue
      const t2 = reads.transactionOf[seen] as number
      if (met.has(t2)) continue
      met.add(t2)
      const from = h.first[t2] as number
      const to = h.first[t2 + 1] as number
      if (to - from <= count) {
        for (let w = from; w < to; w++) {
          if (reads.installed[w] === 0) continue
          for (let r = lastReadOf[h.key[w] as number] as number; r > op; r = earlierRead[r] as number)
            force(input, t2, r, 'non-monotonic-read')
        }
      } else {
        for (let r = op + 1; r < end; r++) {
          if ((reads.source[r] as number) >= NIL && wrote.find(h.key[r] as number, t2) >= 0)
            force(input, t2, r, 'non-monotonic-read')
        }
      }
    }
  }
}

/** Read atomic: t2 was read in t3, or comes before it in its session. */
export function forceReadAtomic(input: AxiomInput): void {
  const { history: h, reads } = input
  const wrote = writesByTransaction(h, reads)
  const lastReadOf = new Int32Array(h.keys).fill(-1)
  const earlierRead = new Int32Array(h.kind.length)
  const inSession = new PairTable()
  const lastInSession: number[] = []
  for (let t3 = 0; t3 < h.transactions; t3++) {
    if (reads.committed[t3] === 0) continue
    const begin = h.first[t3] as number
    const end = h.first[t3 + 1] as number
    const session = h.session[t3] as number
    const met = new Set<number>()
    let count = 0
    for (let op = begin; op < end; op++) {
      const seen = reads.source[op] as number
      if (seen < NIL) continue
      const key = h.key[op] as number
      earlierRead[op] = (lastReadOf[key] as number) >= begin ? (lastReadOf[key] as number) : -1
      lastReadOf[key] = op
      count++
      if (seen >= 0) met.add(reads.transactionOf[seen] as number)
      if (!input.sessionOrder) continue
      const slot = inSession.find(key, session)
      if (slot >= 0) force(input, lastInSession[slot] as number, op, 'fractured-read')
    }
    if (count > 1) {
      for (const t2 of met) {
        const from = h.first[t2] as number
        const to = h.first[t2 + 1] as number
        if (to - from <= count) {
          for (let w = from; w < to; w++) {
            if (reads.installed[w] === 0) continue
            for (let r = lastReadOf[h.key[w] as number] as number; r >= begin; r = earlierRead[r] as number)
              force(input, t2, r, 'fractured-read')
          }
        } else {
          for (let r = begin; r < end; r++) {
            if ((reads.source[r] as number) >= NIL && wrote.find(h.key[r] as number, t2) >= 0)
              force(input, t2, r, 'fractured-read')
          }
        }
      }
    }
    if (!input.sessionOrder || h.status[t3] !== 0) continue
    for (let op = begin; op < end; op++) {
      if (reads.installed[op] === 1) lastInSession[inSession.add(h.key[op] as number, session)] = t3
    }
  }
}

/** Bytes that vector clocks may take before the causal check answers unknown. */
const CLOCK_BYTES_MAX = 1 << 29

/**
 * Causal: t2 happens before t3 (session order and wr, transitively). `happensBefore` must be acyclic and hold exactly
 * those edges. Vector clocks over sessions: linear in transactions times sessions. Answers a reason when it cannot.
 */
export function forceCausal(input: AxiomInput, happensBefore: Outgoing): string | undefined {
  const { history: h, reads } = input
  // An unanswered transaction may take effect after its session went on, so it forms a session of its own.
  const lane = new Int32Array(h.transactions).fill(-1)
  const position = new Int32Array(h.transactions)
  const lengths: number[] = []
  const members: number[][] = []
  const laneOfSession = new Int32Array(h.sessions).fill(-1)
  for (let t = 0; t < h.transactions; t++) {
    if (reads.committed[t] === 0) continue
    const session = h.session[t] as number
    let l = laneOfSession[session] as number
    if (h.status[t] !== 0 || l === -1 || !input.sessionOrder) {
      l = lengths.length
      lengths.push(0)
      members.push([])
      if (h.status[t] === 0) laneOfSession[session] = l
    }
    lane[t] = l
    position[t] = lengths[l]!++
    members[l]!.push(t)
  }
  const lanes = lengths.length
  if (lanes * h.transactions * 4 > CLOCK_BYTES_MAX) {
    return `${lanes} sessions of ${h.transactions} transactions need more memory for vector clocks than the checker takes`
  }
  // Per key and lane, the positions of the writers, ascending.
  const table = new PairTable()
  const writers: number[][] = []
  const lanesOf: number[][] = Array.from({ length: h.keys }, () => [])
  for (let t = 0; t < h.transactions; t++) {
    for (let op = h.first[t] as number; op < (h.first[t + 1] as number); op++) {
      if (reads.installed[op] === 0) continue
      const key = h.key[op] as number
      const slot = table.add(key, lane[t] as number)
      if (slot === writers.length) {
        writers.push([])
        lanesOf[key]!.push(slot)
      }
      writers[slot]!.push(position[t] as number)
    }
  }
  const clock = new Int32Array(lanes * h.transactions).fill(-1)
  for (const t of topologicalOrder(happensBefore)) {
    if (lane[t] === undefined || (lane[t] as number) < 0) continue
    const row = t * lanes
    for (let op = h.first[t] as number; op < (h.first[t + 1] as number); op++) {
      const source = reads.source[op] as number
      if (source < NIL) continue
      for (const slot of lanesOf[h.key[op] as number] as number[]) {
        const l = table.token(slot)
        const seen = clock[row + l] as number
        const known =
          source >= 0 ? (clock[(reads.transactionOf[source] as number) * lanes + l] as number) : -1
        if (seen <= known) continue
        const at = lastAtMost(writers[slot] as number[], seen)
        // A writer that happens before the one that was read says nothing new.
        if (at < 0 || at <= known) continue
        force(input, members[l]![at] as number, op, 'causal-violation')
      }
    }
    const own = clock[row + (lane[t] as number)] as number
    clock[row + (lane[t] as number)] = Math.max(own, position[t] as number)
    for (let i = happensBefore.start[t] as number; i < (happensBefore.start[t + 1] as number); i++) {
      const to = (happensBefore.to[i] as number) * lanes
      for (let l = 0; l < lanes; l++) {
        if ((clock[row + l] as number) > (clock[to + l] as number)) clock[to + l] = clock[row + l] as number
      }
    }
  }
  return undefined
}

function lastAtMost(sorted: number[], limit: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] as number) <= limit) low = middle + 1
    else high = middle
  }
  return low === 0 ? -1 : (sorted[low - 1] as number)
}

/** t2 is visible to the read `op` and writes its key: it must precede whom `op` read from. */
function force(input: AxiomInput, t2: number, op: number, type: string): void {
  const { history: h, reads, edges, findings } = input
  const t3 = reads.transactionOf[op] as number
  const seen = reads.source[op] as number
  if (t2 === t3) return
  if (seen !== NIL) {
    edges.add(t2, reads.transactionOf[seen] as number, CO, op)
    return
  }
  if (findings.length >= 16) return
  const key = h.showKey(h.key[op] as number)
  findings.push({
    type,
    transactions: [t2, t3],
    text: `${h.showTransaction(t3)} read the initial state of ${key} although it had seen ${h.showTransaction(t2)}, which wrote ${key}.`,
  })
}

function writesByTransaction(h: TransactionHistory, reads: Reads): PairTable {
  const table = new PairTable()
  for (let op = 0; op < reads.installed.length; op++) {
    if (reads.installed[op] === 1) table.add(h.key[op] as number, reads.transactionOf[op] as number)
  }
  return table
}
