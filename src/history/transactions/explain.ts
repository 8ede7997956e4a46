import type { ExplainedStep } from '../verdict.ts'
import type { FoundCycle, Step } from './cycles.ts'
import { CO, EDGE_NAMES, RT, RW, SO, WR, WW } from './graph.ts'
import { NIL, type TransactionHistory } from './history.ts'
import type { Reads } from './reads.ts'

export function explainStep(h: TransactionHistory, reads: Reads, step: Step): ExplainedStep {
  const { from, to, kind, via } = step
  const a = h.showTransaction(from)
  const b = h.showTransaction(to)
  const name = EDGE_NAMES[kind] as (typeof EDGE_NAMES)[number]
  if (kind === SO) {
    return {
      from,
      to,
      kind: name,
      text: `${a} came before ${b} in session ${h.showSession(h.session[from] as number)}.`,
    }
  }
  if (kind === RT || via < 0) return { from, to, kind: name, text: `${a} was answered before ${b} was sent.` }
  const key = h.showKey(h.key[via] as number)
  const value = h.showValue(h.value[via] as number)
  if (kind === CO) {
    const reader = h.showTransaction(reads.transactionOf[via] as number)
    return {
      from,
      to,
      kind: name,
      key,
      text: `${a} must come before ${b}: ${reader} read ${key} from ${b} although it had seen ${a}, which also wrote ${key}.`,
    }
  }
  if (kind === WR)
    return { from, to, kind: name, key, value, text: `${a} wrote ${key} = ${value}, which ${b} read.` }
  if (kind === WW) {
    const old = ownWrite(h, reads, from, h.key[via] as number)
    return {
      from,
      to,
      kind: name,
      key,
      value,
      text: `${a} wrote ${key} = ${old}, which ${b} replaced by ${value}.`,
    }
  }
  if (kind === RW) {
    const seen = seenBy(h, reads, from, h.key[via] as number)
    return {
      from,
      to,
      kind: name,
      key,
      value,
      text: `${a} read ${key} = ${seen}, which ${b} replaced by ${value}: ${a} did not see ${b}.`,
    }
  }
  return { from, to, kind: name, text: '' }
}

/** What the class means, in one sentence. */
const MEANING: Readonly<Record<string, string>> = {
  G0: 'Write cycle: the writes of these transactions were interleaved',
  G1c: 'Circular information flow: each of these transactions saw or replaced what another wrote, in a circle',
  'G-single': 'Read skew: a transaction saw some of the effects of another and missed others',
  'G-nonadjacent': 'Transactions missed each other’s effects in a way that no order of snapshots explains',
  'G2-item': 'Each of these transactions would have to come before the others: no serial order explains them',
}

function nameOf(cycle: FoundCycle, h: TransactionHistory): string | undefined {
  const rw = cycle.steps.filter((s) => s.kind === RW)
  if (cycle.steps.length !== 2) return undefined
  const keys = cycle.steps.map((s) => (s.via < 0 ? -1 : (h.key[s.via] as number)))
  if (rw.length === 2) return keys[0] === keys[1] ? 'lost update' : 'write skew'
  if (rw.length === 1 && keys[0] === keys[1] && cycle.steps.some((s) => s.kind === WW)) return 'lost update'
  return undefined
}

export function explainCycle(
  h: TransactionHistory,
  cycle: FoundCycle,
  steps: readonly ExplainedStep[],
): string {
  const base = cycle.type.replace(/-(process|realtime)$/, '')
  const meaning = MEANING[base]
  const name = nameOf(cycle, h)
  const opening = meaning === undefined ? '' : `${meaning}${name === undefined ? '' : ` (${name})`}. `
  const how = cycle.type.endsWith('-realtime')
    ? ' Real time closes the circle.'
    : cycle.type.endsWith('-process')
      ? ' The order within a session closes the circle.'
      : ''
  return `${opening}${steps.map((s) => s.text).join(' ')}${how}`
}

function ownWrite(h: TransactionHistory, reads: Reads, t: number, key: number): string {
  for (let op = (h.first[t + 1] as number) - 1; op >= (h.first[t] as number); op--) {
    if (h.key[op] === key && reads.installed[op] === 1) return h.showValue(h.value[op] as number)
  }
  return '?'
}

function seenBy(h: TransactionHistory, reads: Reads, t: number, key: number): string {
  for (let op = h.first[t] as number; op < (h.first[t + 1] as number); op++) {
    const seen = reads.source[op] as number
    if (h.key[op] === key && seen >= NIL) return seen === NIL ? 'nil' : h.showValue(h.value[seen] as number)
  }
  return '?'
}
