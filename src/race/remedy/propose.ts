import { type Access, accessOf, conditionOf } from '../anomaly.ts'
import type { RaceFinding } from '../report.ts'
import type { Step } from '../task.ts'
import { comparedColumns, insertTarget, whyNotPlain } from './plain-select.ts'
import type { RemedyName } from './remedy.ts'
import { factsOf, type TaskFacts, writes } from './task-facts.ts'
import { CheckedVersions, LockedReads, SerializableTransactions, type Treatment } from './treatment.ts'
import type { UniqueKey } from './unique-index.ts'

/** A way to put a remedy in. */
export interface Trial {
  readonly how: string
  readonly treatment?: Treatment
  /** Tasks whose statements go into one transaction, begun so. */
  readonly wrapped: readonly string[]
  readonly begin: string
  /** Tasks that are run again when they fail with one of these SQLSTATEs. */
  readonly again: readonly string[]
  readonly againOn: readonly string[]
  readonly index?: UniqueKey
}

/** The ways to try a remedy, best first; or why there is none. */
export type Proposal = { readonly remedy: RemedyName } & (
  | { readonly trials: readonly Trial[] }
  | { readonly reason: string }
)

export type Finding = Pick<RaceFinding, 'anomaly' | 'steps' | 'responsible' | 'deadlock'>

export const NOTHING: Trial = { how: '', wrapped: [], begin: 'begin', again: [], againOn: [] }
export const NO_DEADLOCK = 'no task waits for another in a circle'

/** Each remedy of the field, and how it can be put in without changing the code. Pure. */
export function propose(finding: Finding, tasks: readonly string[]): Proposal[] {
  const facts = tasks.map((task) => factsOf(task, finding.steps))
  return [
    rowLock(finding, facts),
    versionCheck(finding, facts),
    serializableTasks(facts),
    uniqueConstraint(finding),
    orderedLocking(finding),
    ...(finding.deadlock === undefined ? [] : [retry(facts, '40P01')]),
  ]
}

function rowLock(finding: Finding, facts: readonly TaskFacts[]): Proposal {
  const remedy = 'row lock'
  const reads = finding.steps.filter((step) => accessOf(step)?.kind === 'read')
  const writing = reads.filter((read) =>
    finding.steps.some((s) => s.task === read.task && s.number > read.number && writes(s)),
  )
  const tables = new Set(responsible(finding).map(({ table }) => table))
  const near = reads.filter(
    (read) =>
      finding.responsible.includes(read.number) ||
      (writing.includes(read) && tables.has(accessOf(read)?.table ?? '')),
  )
  // First the rows that the decision was read from; else every row that a writing task reads, such as the parent's.
  const trials = [near, writing].flatMap((steps) => {
    const plain = steps.filter((step) => whyNotPlain(step.text) === undefined)
    return plain.length === 0 ? [] : [lockTrial(plain, facts)]
  })
  if (trials.length > 0)
    return { remedy, trials: trials.filter(({ how }, at) => at === 0 || how !== trials[0]?.how) }
  const [first] = near.length > 0 ? near : reads
  return {
    remedy,
    reason:
      first === undefined
        ? 'no task reads before it writes'
        : `FOR UPDATE cannot stand at step ${first.number}: ${whyNotPlain(first.text)}`,
  }
}

function lockTrial(steps: readonly Step[], facts: readonly TaskFacts[]): Trial {
  const wrapped = withoutTransactions(facts)
  return {
    ...NOTHING,
    how: `FOR UPDATE at ${stepsText(steps)}${wrappedText(wrapped)}`,
    treatment: new LockedReads(new Set(steps.map((step) => step.text))),
    wrapped,
  }
}

function versionCheck(finding: Finding, facts: readonly TaskFacts[]): Proposal {
  const remedy = 'version check'
  const updates = finding.steps.filter((step) => accessOf(step)?.kind === 'update')
  const rows = new Set(updates.map((step) => rowOf(accessOf(step) as Access)))
  const reads = finding.steps.filter((step) => {
    const access = accessOf(step)
    return access?.kind === 'read' && rows.has(rowOf(access)) && whyNotPlain(step.text) === undefined
  })
  if (reads.length === 0) return { remedy, reason: 'no task reads the very row that it then updates' }
  const again = restartable(facts)
  return {
    remedy,
    trials: [
      {
        ...NOTHING,
        how: `the update after ${stepsText(reads)} only of the version that was read${againText(again)}`,
        treatment: new CheckedVersions(new Set(reads.map((step) => step.text))),
        again,
        againOn: ['40001'],
      },
    ],
  }
}

function serializableTasks(facts: readonly TaskFacts[]): Proposal {
  const wrapped = withoutTransactions(facts)
  const again = [...new Set([...wrapped, ...restartable(facts)])]
  return {
    remedy: 'serializable',
    trials: [
      {
        how: `every transaction SERIALIZABLE${wrappedText(wrapped)}${againText(again)}`,
        treatment: new SerializableTransactions(),
        wrapped,
        begin: 'begin isolation level serializable',
        again,
        againOn: ['40001'],
      },
    ],
  }
}

export function uniqueConstraint(finding: Finding): Proposal {
  const remedy = 'unique constraint'
  const accesses = responsible(finding)
  const inserted = accesses.find(({ kind }) => kind === 'insert')
  const insert = finding.steps.find((step) => step.number === inserted?.step)
  const read = accesses.find(({ kind, table }) => kind === 'read' && table === inserted?.table)
  if (insert === undefined || read === undefined)
    return { remedy, reason: 'no task inserts a row after it looked for one like it' }
  if (read.counts) return { remedy, reason: 'a unique key cannot say how many rows are allowed' }
  const target = insertTarget(insert.text)
  const condition = conditionOf(finding.steps.find((step) => step.number === read.step)?.text ?? '')
  const columns = comparedColumns(condition)
  if (target === undefined || columns === undefined)
    return { remedy, reason: `"${condition}" at step ${read.step} does not compare columns with values` }
  const missing = columns.filter(
    (column) => target.columns?.includes(column.replaceAll('"', '').toLowerCase()) === false,
  )
  if (missing.length > 0) return { remedy, reason: `the insert does not give ${missing.join(', ')}` }
  return {
    remedy,
    trials: [
      {
        ...NOTHING,
        how: `UNIQUE (${columns.join(', ')}) on ${target.table}`,
        index: { table: target.table, columns },
      },
    ],
  }
}

/** No statement can be moved before another one from outside: what can be said is the order. */
function orderedLocking(finding: Finding): Proposal {
  const remedy = 'ordered locking'
  if (finding.deadlock === undefined) return { remedy, reason: NO_DEADLOCK }
  const stuck = new Set(finding.deadlock.map(({ task }) => task))
  const lockers = new Map<string, Set<string>>()
  for (const step of finding.steps) {
    const access = accessOf(step)
    if (access === undefined || access.kind === 'insert' || !stuck.has(step.task)) continue
    const row = `${access.table} where ${access.where}`
    lockers.set(row, (lockers.get(row) ?? new Set()).add(step.task))
  }
  const shared = [...lockers].flatMap(([row, by]) => (by.size > 1 ? row : [])).sort()
  return {
    remedy,
    reason:
      shared.length > 1
        ? `the code has to be changed: let every task lock ${shared.join(', then ')}`
        : 'the code has to be changed: let every task lock the same rows in the same order',
  }
}

/** `on`: what the victim of a deadlock fails with, having rolled back whatever it did. */
export function retry(facts: readonly TaskFacts[], on: string): Proposal {
  const again = restartable(facts)
  if (again.length === 0)
    return {
      remedy: 'retry',
      reason: 'the tasks leave something behind before they fail, so they cannot be run again',
    }
  return {
    remedy: 'retry',
    trials: [{ ...NOTHING, how: `${again.join(', ')} run again on ${on}`, again, againOn: [on] }],
  }
}

function responsible(finding: Finding): Access[] {
  return finding.steps
    .filter((step) => finding.responsible.includes(step.number))
    .flatMap((step) => accessOf(step) ?? [])
}

function rowOf({ table, where }: Access): string {
  return `${table} ${where}`
}

export function withoutTransactions(facts: readonly TaskFacts[]): string[] {
  return facts.flatMap(({ task, transactions, alone }) => (transactions === 0 && alone > 1 ? task : []))
}

export function restartable(facts: readonly TaskFacts[]): string[] {
  return facts.flatMap((one) => (one.restartable ? one.task : []))
}

function stepsText(steps: readonly Step[]): string {
  const numbers = steps.map((step) => step.number)
  return numbers.length === 1
    ? `step ${numbers[0]}`
    : `steps ${numbers.slice(0, -1).join(', ')} and ${numbers.at(-1)}`
}

export function wrappedText(tasks: readonly string[]): string {
  return tasks.length === 0
    ? ''
    : `; ${tasks.join(', ')} in one transaction${tasks.length > 1 ? ' each' : ''}`
}

export function againText(tasks: readonly string[], on = '40001'): string {
  return tasks.length === 0 ? '' : `; ${tasks.join(', ')} run again on ${on}`
}
