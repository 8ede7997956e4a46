// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import type { Conclusion, ExplainedStep } from '../verdict.ts'
import { type AxiomInput, forceCausal, forceReadAtomic, forceReadCommitted } from './axioms.ts'
import { cyclesIn, type FoundCycle, shortestCycle } from './cycles.ts'
import { dataEdges, openKeyEdges, realTimeEdges, sessionEdges, tellsTime } from './dependencies.ts'
import { explainCycle, explainStep } from './explain.ts'
import { forbiddingGraph, joinVirtual } from './forbidding-graph.ts'
import { components, Edges, outgoing, SO, WR, WW } from './graph.ts'
import type { TransactionHistory } from './history.ts'
import { LEVEL_RULES, type Level, type LevelRules } from './levels.ts'
import { readersOfOpenKeys } from './open-readers.ts'
import { searchOrder } from './order-search.ts'
import { type Finding, type Reads, resolveReads } from './reads.ts'
import { orderVersions, type Versions } from './versions.ts'

/** One anomaly, with the transactions in it (numbers in the history) and, where it is a cycle, its steps. */
export interface TransactionAnomaly {
  readonly type: string
  readonly explanation: string
  readonly transactions: readonly number[]
  readonly steps?: readonly ExplainedStep[]
}

export type TransactionVerdict = Conclusion<TransactionAnomaly>

export interface CheckTransactionsOptions {
  readonly level: Level
  /** True when time is up; asked often, must be cheap. Without it the check takes the time it needs. */
  readonly expired?: () => boolean
  /** Overrules what the level and the history's definition say about the order within a session. */
  readonly sessionOrder?: boolean
}

/** Components and cycles that are explained; more are only counted. */
const COMPONENTS_MAX = 8
/** For levels that do not look at who read a version before it was replaced. */
const NO_READERS = (): Int32Array => new Int32Array(0)

/**
 * Checks a history of transactions against a level. `valid` is a proof: an order of the versions was recorded or found
 * under which nothing forbidden remains. `invalid` names what is forbidden and present in every such order. Where
 * neither is shown in time the answer is `unknown` with the reason.
 *
 * Cost: linear when the order of versions is recorded and for read-uncommitted up to read-atomic; causal takes
 * transactions times sessions; the others search when the order is not recorded.
 */
export function checkHistory(h: TransactionHistory, options: CheckTransactionsOptions): TransactionVerdict {
  const rules = LEVEL_RULES[options.level]
  const expired = options.expired ?? (() => false)
  const session =
    options.sessionOrder ?? (rules.session === 'by-definition' ? h.definition === 'axiomatic' : rules.session)
  const reads = resolveReads(h)
  const anomalies: TransactionAnomaly[] = []
  const note = (findings: readonly Finding[]): void => {
    for (const { type, transactions, text } of findings) {
      if (rules.findings.includes(type)) anomalies.push({ type, transactions, explanation: text })
    }
  }
  note(reads.findings)

  const byAxiom =
    rules.method === 'read-atomic' ||
    rules.method === 'causal' ||
    (rules.method === 'read-committed' && h.definition === 'axiomatic')
  const searched = !byAxiom && rules.method !== 'read-committed' && options.level !== 'read-uncommitted'
  const versions = orderVersions(h, reads, searched)
  note(versions.findings)
  const edges = new Edges()
  if (session) sessionEdges(h, reads.committed, edges)
  const instants = rules.realTime ? realTimeEdges(h, reads.committed, edges, h.transactions) : 0
  const keyNodesFrom = h.transactions + instants

  let problem: string | undefined
  if (byAxiom) problem = checkAxioms(h, reads, versions, rules, session, edges, anomalies)
  else {
    dataEdges(h, reads, versions, edges)
    problem = checkDependencies(h, reads, versions, rules, searched, edges, keyNodesFrom, anomalies, expired)
  }
  if (anomalies.length > 0) return { verdict: 'invalid', anomalies }
  if (problem !== undefined) return { verdict: 'unknown', anomalies, reason: problem }
  if (reads.ambiguous > 0) {
    return {
      verdict: 'unknown',
      anomalies,
      reason: `${reads.ambiguous} reads saw a value that several transactions wrote, so it is not known whose write they saw`,
    }
  }
  if (rules.realTime && !tellsTime(h, reads.committed)) {
    return {
      verdict: 'unknown',
      anomalies,
      reason: `the history does not tell when transactions were sent and answered, which ${options.level} is about; without real time it holds`,
    }
  }
  return { verdict: 'valid', anomalies }
}

/** Polynomial levels: forced orders must be acyclic. Answers why nothing can be said, if so. */
function checkAxioms(
  h: TransactionHistory,
  reads: Reads,
  versions: Versions,
  rules: LevelRules,
  session: boolean,
  edges: Edges,
  anomalies: TransactionAnomaly[],
): string | undefined {
  const n = h.transactions
  dataEdges(h, reads, versions, edges)
  openKeyEdges(reads, versions, NO_READERS, edges, n)
  const findings: Finding[] = []
  const input: AxiomInput = { history: h, reads, edges, sessionOrder: session, findings }
  const before = (1 << SO) | (1 << WR)
  const forced = before | (1 << WW) | (1 << 5)
  if (explainAxiomCycle(before)) return undefined
  let problem: string | undefined
  let type = 'non-monotonic-read'
  if (rules.method === 'read-committed') forceReadCommitted(input)
  else if (rules.method === 'read-atomic') {
    type = 'fractured-read'
    forceReadAtomic(input)
  } else {
    type = 'causal-violation'
    problem = forceCausal(input, outgoing(edges, n, before))
  }
  for (const f of findings)
    anomalies.push({ type: f.type, transactions: f.transactions, explanation: f.text })
  explainAxiomCycle(forced)
  return problem

  function explainAxiomCycle(kinds: number): boolean {
    const found = components(outgoing(edges, n, kinds))
    for (const { nodes, edgeNumbers } of bucket(found, edges, n, kinds)) {
      const steps = shortestCycle(nodes, edges, edgeNumbers, n)
      if (steps === undefined) continue
      const explained = steps.map((s) => explainStep(h, reads, s))
      const plain = steps.every((s) => s.kind !== 5)
      const name = !plain
        ? type
        : steps.some((s) => s.kind === WR)
          ? steps.some((s) => s.kind === SO)
            ? 'G1c-process'
            : 'G1c'
          : 'G0'
      anomalies.push({
        type: name,
        transactions: steps.map((s) => s.from),
        steps: explained,
        explanation: explainCycle(h, { type: name, steps }, explained),
      })
    }
    return found.length > 0
  }
}

function checkDependencies(
  h: TransactionHistory,
  reads: Reads,
  versions: Versions,
  rules: LevelRules,
  searched: boolean,
  edges: Edges,
  keyNodesFrom: number,
  anomalies: TransactionAnomaly[],
  expired: () => boolean,
): string | undefined {
  const n = h.transactions
  const readersOf = searched && versions.open.length > 0 ? readersOfOpenKeys(h, reads, versions) : NO_READERS
  const keyNodes = openKeyEdges(reads, versions, readersOf, edges, keyNodesFrom)
  const nodes = keyNodesFrom + keyNodes
  // Read uncommitted forbids cycles of ww alone, read committed those of ww and wr.
  const kinds = !rules.cycles.includes('G1c')
    ? 1 << WW
    : rules.cycles.includes('G-single')
      ? 0xff
      : (1 << SO) | (1 << WW) | (1 << WR)
  explainComponents()
  if (anomalies.length > 0 || !searched || versions.open.length === 0) return undefined
  const answer = searchOrder({
    history: h,
    reads,
    versions,
    edges,
    nodes,
    keyNodesFrom,
    snapshot: rules.method === 'snapshot',
    readersOf,
    expired,
  })
  if (answer.kind === 'unknown') return answer.reason
  if (answer.kind === 'cycle') explainComponents()
  if (answer.kind === 'invalid') {
    const cases = answer.cases.map(({ when, cycle }) => ({
      when,
      steps: cycle.map((s) => explainStep(h, reads, s)),
    }))
    anomalies.push({
      type: 'cycle-in-every-order',
      transactions: answer.transactions,
      ...(cases[0] === undefined ? {} : { steps: cases[0].steps }),
      explanation: [
        answer.text,
        ...cases.map(({ when, steps }) => `If ${when}: ${steps.map((s) => s.text).join(' ')}`),
      ].join(' '),
    })
  }
  return undefined

  function explainComponents(): void {
    const found = components(outgoing(edges, nodes, kinds))
    if (found.length > 0) {
      const snapshot = rules.method === 'snapshot'
      for (const { nodes: component, edgeNumbers, whole } of bucket(found, edges, nodes, kinds)) {
        if (snapshot && components(forbiddingGraph(edges, nodes, keyNodesFrom, true, whole)).length === 0)
          continue
        const cycles = cyclesIn(component, edges, edgeNumbers, n, keyNodesFrom, rules.cycles)
        for (const cycle of cycles) anomalies.push(explained(h, reads, cycle))
        if (cycles.length === 0) {
          anomalies.push({
            type: 'cycle',
            transactions: component.filter((u) => u < n).slice(0, 64),
            explanation: `${component.length} transactions depend on each other in a circle that ${rules.method === 'snapshot' ? 'no snapshots explain' : 'no order explains'}; the component is too large for a short cycle to be shown.`,
          })
        }
      }
      // A component whose cycles the level allows: look whether the whole, beyond the explained ones, is clean.
      if (
        anomalies.length === 0 &&
        snapshot &&
        components(forbiddingGraph(edges, nodes, keyNodesFrom, true)).length > 0
      ) {
        anomalies.push({
          type: 'G-nonadjacent',
          transactions: [],
          explanation: 'A cycle without neighbouring rw edges exists.',
        })
      }
    }
  }
}

function explained(h: TransactionHistory, reads: Reads, cycle: FoundCycle): TransactionAnomaly {
  const steps = joinVirtual(cycle.steps, h.transactions)
  const texts = steps.map((s) => explainStep(h, reads, s))
  return {
    type: cycle.type,
    transactions: steps.map((s) => s.from),
    steps: texts,
    explanation: explainCycle(h, { type: cycle.type, steps }, texts),
  }
}

/** The smallest components with the numbers of their edges. `whole` maps every node to its component, or -1. */
function bucket(
  found: readonly Int32Array[],
  edges: Edges,
  nodes: number,
  kinds: number,
): { nodes: number[]; edgeNumbers: number[]; whole: Int32Array }[] {
  const chosen = [...found].sort((a, b) => a.length - b.length).slice(0, COMPONENTS_MAX)
  if (chosen.length === 0) return []
  const of = new Int32Array(nodes).fill(-1)
  chosen.forEach((component, i) => {
    for (const u of component) of[u] = i
  })
  const numbers: number[][] = chosen.map(() => [])
  for (let e = 0; e < edges.length; e++) {
    const c = of[edges.from.at(e)] as number
    if (c !== -1 && c === of[edges.to.at(e)] && (kinds & (1 << edges.kind.at(e))) !== 0) numbers[c]!.push(e)
  }
  return chosen.map((component, i) => {
    const whole = new Int32Array(nodes).fill(-1)
    for (const u of component) whole[u] = i
    return { nodes: Array.from(component), edgeNumbers: numbers[i] as number[], whole }
  })
}
