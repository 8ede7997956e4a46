import { checkArguments, isList, show } from '../core/options.ts'
import type { WaitEdge } from './scheduler.ts'
import type { Step } from './task.ts'
import { valueText } from './value-text.ts'

export type Anomaly =
  | 'lost update'
  | 'write skew'
  | 'check-then-insert'
  | 'phantom'
  | 'dirty read'
  | 'deadlock'
  | 'error'
  | 'invariant violated'
  | 'not serializable'

export interface Diagnosis {
  readonly anomaly: Anomaly
  /** Numbers of the steps that make it. */
  readonly responsible: readonly number[]
  /** What removes it, in the words of the field. */
  readonly remedy: string
}

export interface Access {
  readonly step: number
  /** Its place in the order of effects, in steps: one that waited for a lock took effect when it was let go. */
  readonly at: number
  readonly task: string
  readonly kind: 'read' | 'update' | 'insert' | 'delete'
  readonly table: string
  /** The condition with its parameters: the same text means the same rows. */
  readonly where: string
  /** The read adds up rows, so that the decision is about how many or how much there is, not whether there is one. */
  readonly counts: boolean
}

const NAME = String.raw`((?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))?)`
const PATTERNS: readonly (readonly [Access['kind'], RegExp])[] = [
  ['insert', new RegExp(String.raw`\binsert\s+into\s+${NAME}`, 'i')],
  ['update', new RegExp(String.raw`\bupdate\s+(?:only\s+)?${NAME}\s+(?:as\s+\S+\s+)?set\b`, 'i')],
  ['delete', new RegExp(String.raw`\bdelete\s+from\s+(?:only\s+)?${NAME}`, 'i')],
  ['read', new RegExp(String.raw`\bselect\b[\s\S]*?\bfrom\s+(?:only\s+)?${NAME}`, 'i')],
]

/** What a statement does to a table, as far as its text tells; undefined for BEGIN, COMMIT and what is not understood. */
export function accessOf(
  step: Pick<Step, 'number' | 'task' | 'text' | 'values' | 'wokenAfter'>,
): Access | undefined {
  checkArguments(
    'accessOf',
    typeof step?.text === 'string' || `step must be one of a finding, got ${show(step)}`,
  )
  for (const [kind, pattern] of PATTERNS) {
    const table = pattern.exec(step.text)?.[1]
    if (table === undefined) continue
    const where = withValues(step.text, conditionOf(step.text), step.values)
      .replace(/["\s()]+/g, ' ')
      .trim()
    return {
      step: step.number,
      at: step.wokenAfter === undefined ? step.number : step.wokenAfter + 0.5,
      task: step.task,
      kind,
      table: table.replaceAll('"', '').replace(/^public\./, ''),
      where,
      counts: /\b(count|sum|avg|min|max)\s*\(/i.test(step.text),
    }
  }
  return undefined
}

/** What stands behind WHERE. */
export function conditionOf(text: string): string {
  const condition = /\bwhere\b([\s\S]*)$/i.exec(text)?.[1] ?? ''
  return condition
    .replace(
      /\bfor\s+(update|share|no key update|key share)\b[\s\S]*$|\breturning\b[\s\S]*$|\blimit\b[\s\S]*$/i,
      '',
    )
    .trim()
}

/** The condition with its parameters in place: `$1` of PostgreSQL, `?` of SQLite. */
function withValues(text: string, condition: string, values: readonly unknown[]): string {
  if (/\$\d/.test(text)) return condition.replace(/\$(\d+)/g, (_, n) => valueText(values[Number(n) - 1]))
  let at = text.slice(0, text.indexOf(condition)).split('?').length - 1
  return condition.replace(/\?/g, (mark) => (at < values.length ? valueText(values[at++]) : mark))
}

/** The same rows as far as the texts tell; an insert meets every condition on its table. */
function meet(write: Access, other: Access): boolean {
  if (write.table !== other.table) return false
  return write.where === other.where || write.where === '' || other.where === ''
}

/** Both writes of a task stand in one transaction, so that nobody sees the first without the second. */
function together(steps: readonly Step[], first: Access, second: Access): boolean {
  let open = false
  for (const { task, number, text, with: companions } of steps) {
    if (task !== first.task || number >= second.step) continue
    if (/^\s*(begin|start\s+transaction)\b/i.test(text) || companions?.before !== undefined) open = true
    if (/^\s*(commit|rollback(?!\s+to)|end|abort)\b/i.test(text) || companions?.after !== undefined)
      open = false
    if (number >= first.step && !open) return false
  }
  return open
}

/** Names the anomaly from who read what before whose write. Pure. */
export function diagnose(steps: readonly Step[], deadlock: readonly WaitEdge[] | undefined): Diagnosis {
  checkArguments('diagnose', isList('steps', steps), deadlock === undefined || isList('deadlock', deadlock))
  if (deadlock !== undefined) {
    return {
      anomaly: 'deadlock',
      responsible: steps.filter((s) => s.waitedFor !== undefined).map((s) => s.number),
      remedy:
        'ordered locking: let every task lock the rows in the same order (ORDER BY the key, FOR UPDATE), or retry the transaction on 40P01',
    }
  }
  const accesses = steps.filter((s) => s.error === undefined).flatMap((step) => accessOf(step) ?? [])
  const writes = accesses.filter((a) => a.kind !== 'read')
  // A read that another task's later write made stale, by a task that wrote after it.
  const stale = accesses
    .filter((read) => read.kind === 'read')
    .flatMap((read) =>
      writes
        .filter((w) => w.task !== read.task && w.at > read.at && w.table === read.table)
        .flatMap((w) =>
          writes.filter((own) => own.task === read.task && own.at > read.at).map((own) => ({ read, w, own })),
        ),
    )
  const lost = stale.find(
    ({ read, w, own }) =>
      own.at > w.at &&
      own.table === w.table &&
      own.kind !== 'insert' &&
      w.kind !== 'insert' &&
      own.where === w.where &&
      read.table === own.table,
  )
  if (lost !== undefined) {
    return {
      anomaly: 'lost update',
      responsible: [lost.read.step, lost.w.step, lost.own.step],
      remedy:
        'a row lock (SELECT … FOR UPDATE, or lockRows, inside one transaction), a version check, or one UPDATE that computes the new value',
    }
  }
  const inserted = stale.find(
    ({ w, own }) => w.kind === 'insert' && own.kind === 'insert' && own.table === w.table,
  )
  if (inserted?.read.counts) {
    return {
      anomaly: 'phantom',
      responsible: [inserted.read.step, inserted.w.step, inserted.own.step],
      remedy:
        'a lock on the row that carries the limit (SELECT … FOR UPDATE on the parent), or SERIALIZABLE with retry; no unique key can say how many are allowed',
    }
  }
  if (inserted !== undefined) {
    return {
      anomaly: 'check-then-insert',
      responsible: [inserted.read.step, inserted.w.step, inserted.own.step],
      remedy:
        'a unique constraint with INSERT … ON CONFLICT, a lock on the parent row, or SERIALIZABLE with retry',
    }
  }
  const skew = stale.find(({ read, w, own }) =>
    accesses.some(
      (other) =>
        other.kind === 'read' &&
        other.task === w.task &&
        other.at < own.at &&
        other.table === own.table &&
        read.at < w.at,
    ),
  )
  if (skew !== undefined) {
    return {
      anomaly: 'write skew',
      responsible: [skew.read.step, skew.w.step, skew.own.step],
      remedy: 'SERIALIZABLE with retry, or a lock on every row that the decision read (SELECT … FOR UPDATE)',
    }
  }
  const dirty = accesses
    .filter((read) => read.kind === 'read')
    .flatMap((read) =>
      writes
        .filter((w) => w.task !== read.task && w.at < read.at && meet(w, read))
        .flatMap((w) =>
          writes
            .filter((last) => last.task === w.task && last.at > read.at && last.kind !== 'insert')
            .filter((last) => meet(last, w) && !together(steps, w, last))
            .map((last) => ({ w, read, last })),
        ),
    )[0]
  if (dirty !== undefined) {
    return {
      anomaly: 'dirty read',
      responsible: [dirty.w.step, dirty.read.step, dirty.last.step],
      remedy: 'one transaction around both writes, so that nobody reads what does not stay',
    }
  }
  const twice = accesses.find((first) =>
    accesses.some(
      (again) =>
        first.kind === 'read' &&
        again.kind === 'read' &&
        again.task === first.task &&
        again.at > first.at &&
        again.table === first.table &&
        writes.some(
          (w) => w.task !== first.task && w.table === first.table && w.at > first.at && w.at < again.at,
        ),
    ),
  )
  if (twice !== undefined) {
    return {
      anomaly: 'phantom',
      responsible: accesses.filter((a) => a.table === twice.table).map((a) => a.step),
      remedy: 'REPEATABLE READ or SERIALIZABLE with retry, so that both reads see one snapshot',
    }
  }
  if (steps.every(({ kind }) => kind !== 'statement')) {
    return {
      anomaly: 'not serializable',
      responsible: [],
      remedy:
        'no statement takes part: keep what the tasks share in the database, or let one task at a time read and write it (a lock)',
    }
  }
  return {
    anomaly: 'not serializable',
    responsible: stale.slice(0, 1).flatMap(({ read, w, own }) => [read.step, w.step, own.step]),
    remedy: 'SERIALIZABLE with retry, or a row lock on what the task reads in order to write',
  }
}
