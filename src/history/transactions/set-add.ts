// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import type { TransactionAnomaly, TransactionVerdict } from './check.ts'
import { cyclesIn } from './cycles.ts'
import { realTimeEdges, sessionEdges, tellsTime } from './dependencies.ts'
import { forbiddingGraph, joinVirtual } from './forbidding-graph.ts'
import { components, Edges, outgoing, RW, WR } from './graph.ts'
import { FAIL, INFO, OK, READ_LIST, type TransactionHistory, WRITE } from './history.ts'
import { LEVEL_RULES, type Level } from './levels.ts'

/**
 * Sets that only grow (Elle's `set-add`): a read that holds an element comes after its addition, one that lacks it comes
 * before. Additions commute, so there is no order of versions to find and the verdict is exact, unless reads hold what
 * several transactions added.
 *
 * Levels from snapshot isolation on; below, and between, the weaker ones only forbid what needs no cycle, and cycles of
 * wr edges. Cost: reads times the additions that they do not hold.
 */
export function checkSets(
  h: TransactionHistory,
  options: { readonly level: Level; readonly expired?: () => boolean; readonly sessionOrder?: boolean },
): TransactionVerdict {
  const rules = LEVEL_RULES[options.level]
  const session =
    options.sessionOrder ?? (rules.session === 'by-definition' ? h.definition === 'axiomatic' : rules.session)
  const anomalies: TransactionAnomaly[] = []
  const seenType = new Map<string, number>()
  const note = (type: string, transactions: readonly number[], explanation: string): void => {
    if (!rules.findings.includes(type)) return
    const count = seenType.get(type) ?? 0
    seenType.set(type, count + 1)
    if (count < 8) anomalies.push({ type, transactions, explanation })
  }

  const adder = new Int32Array(h.values.size).fill(-1)
  /** Additions of what more than one transaction added: who saw it came after one of them, who did not before all. */
  const several = new Map<number, readonly number[]>()
  const additions: number[][] = Array.from({ length: h.keys }, () => [])
  const ownerOf = new Int32Array(h.kind.length)
  for (let t = 0; t < h.transactions; t++) {
    for (let op = h.first[t] as number; op < (h.first[t + 1] as number); op++) {
      ownerOf[op] = t
      if (h.kind[op] !== WRITE) continue
      const value = h.value[op] as number
      const other = adder[value] as number
      if (other === -1 || h.status[ownerOf[other] as number] === FAIL) adder[value] = op
      else if (h.status[t] !== FAIL && ownerOf[other] !== t) {
        several.set(value, [...(several.get(value) ?? [other]), op])
      }
    }
  }
  const committed = new Uint8Array(h.transactions)
  const holds = new Int32Array(h.values.size).fill(-1)
  for (let t = 0; t < h.transactions; t++) {
    if (h.status[t] !== OK) continue
    committed[t] = 1
    for (const item of itemsRead(h, t)) {
      const by = adder[item] === -1 ? -1 : (ownerOf[adder[item] as number] as number)
      if (by === -1)
        note('garbage', [t], `${h.showTransaction(t)} read ${h.showValue(item)}, which nobody added.`)
      else if (h.status[by] === FAIL) {
        note(
          'G1a',
          [by, t],
          `${h.showTransaction(t)} read ${h.showValue(item)}, which ${h.showTransaction(by)} added and rolled back.`,
        )
      } else if (h.status[by] === INFO && !several.has(item)) committed[by] = 1
    }
  }
  for (let value = 0; value < adder.length; value++) {
    const first = adder[value] as number
    for (const op of several.get(value) ?? (first === -1 ? [] : [first])) {
      if (committed[ownerOf[op] as number] === 1) additions[h.key[op] as number]!.push(op)
    }
  }

  const edges = new Edges()
  if (session) sessionEdges(h, committed, edges)
  const instants = rules.realTime ? realTimeEdges(h, committed, edges, h.transactions) : 0
  const atomic = rules.cycles.includes('G-single')
  let stamp = 0
  let ambiguous = 0
  for (let t = 0; t < h.transactions; t++) {
    if (h.status[t] !== OK) continue
    if ((t & 255) === 0 && options.expired?.() === true) {
      return { verdict: 'unknown', anomalies, reason: 'time was up while reads were compared with additions' }
    }
    for (let op = h.first[t] as number; op < (h.first[t + 1] as number); op++) {
      if (h.kind[op] !== READ_LIST) continue
      stamp++
      const list = h.value[op] as number
      for (let i = h.listFirst[list] as number; i < (h.listFirst[list + 1] as number); i++) {
        const item = h.items[i] as number
        if (holds[item] === stamp)
          note('duplicate', [t], `${h.showTransaction(t)} read ${h.showValue(item)} twice.`)
        holds[item] = stamp
        if (several.has(item)) ambiguous++
        else if (adder[item] !== -1)
          edges.add(ownerOf[adder[item] as number] as number, t, WR, adder[item] as number)
        if (
          adder[item] !== -1 &&
          !several.has(item) &&
          ownerOf[adder[item] as number] === t &&
          (adder[item] as number) > op
        ) {
          note('future-read', [t], `${h.showTransaction(t)} read ${h.showValue(item)} before it added it.`)
        }
      }
      for (const addition of additions[h.key[op] as number] as number[]) {
        const value = h.value[addition] as number
        if (holds[value] === stamp) continue
        const by = ownerOf[addition] as number
        if (by !== t) {
          if (atomic) edges.add(t, by, RW, addition)
        } else if (addition < op) {
          note(
            'internal',
            [t],
            `${h.showTransaction(t)} added ${h.showValue(value)} and then read ${h.showKey(h.key[op] as number)} without it.`,
          )
        }
      }
    }
  }

  const nodes = h.transactions + instants
  const snapshot = rules.method === 'snapshot'
  const kinds = atomic ? 0xff : 0xff & ~(1 << RW)
  const found = components(outgoing(edges, nodes, kinds))
  const bad = snapshot
    ? found.length > 0 && components(forbiddingGraph(edges, nodes, nodes, true)).length > 0
    : found.length > 0
  if (bad) {
    for (const component of [...found].sort((a, b) => a.length - b.length).slice(0, 8)) {
      const inside = new Uint8Array(nodes)
      for (const u of component) inside[u] = 1
      const numbers: number[] = []
      for (let e = 0; e < edges.length; e++) {
        if (inside[edges.from.at(e)] === 1 && inside[edges.to.at(e)] === 1) numbers.push(e)
      }
      for (const cycle of cyclesIn(
        Array.from(component),
        edges,
        numbers,
        h.transactions,
        nodes,
        rules.cycles,
      )) {
        const steps = joinVirtual(cycle.steps, h.transactions)
        anomalies.push({
          type: cycle.type,
          transactions: steps.map((s) => s.from),
          explanation: steps
            .map((s) => {
              const [a, b] = [h.showTransaction(s.from), h.showTransaction(s.to)]
              const value = s.via < 0 ? '' : h.showValue(h.value[s.via] as number)
              if (s.kind === WR) return `${b} read ${value}, which ${a} added.`
              if (s.kind === RW) return `${a} did not see ${value}, which ${b} added.`
              return `${a} came before ${b}.`
            })
            .join(' '),
        })
      }
    }
    if (anomalies.length === 0)
      anomalies.push({ type: 'cycle', transactions: [], explanation: 'No order explains what was read.' })
  }
  if (anomalies.length > 0) return { verdict: 'invalid', anomalies }
  if (ambiguous > 0) {
    return {
      verdict: 'unknown',
      anomalies,
      reason: `${ambiguous} reads hold an element that several transactions added, so it is not known whose addition they saw`,
    }
  }
  if (rules.realTime && !tellsTime(h, committed)) {
    return {
      verdict: 'unknown',
      anomalies,
      reason: 'the history does not tell when transactions were sent and answered',
    }
  }
  return { verdict: 'valid', anomalies }
}

function* itemsRead(h: TransactionHistory, t: number): Generator<number> {
  for (let op = h.first[t] as number; op < (h.first[t + 1] as number); op++) {
    if (h.kind[op] !== READ_LIST) continue
    const list = h.value[op] as number
    for (let i = h.listFirst[list] as number; i < (h.listFirst[list + 1] as number); i++)
      yield h.items[i] as number
  }
}
