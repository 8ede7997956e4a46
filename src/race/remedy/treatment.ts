import { accessOf } from '../anomaly.ts'
import type { Task } from '../task.ts'
import { forUpdate, withColumn, withCondition } from './plain-select.ts'

export interface Statement {
  readonly text: string
  readonly values: readonly unknown[]
}

/** A change to statements on their way between a task and the driver, so that a remedy is tried on code that stays as it is. */
export interface Treatment {
  /** What is sent instead; the same text where nothing is changed. */
  rewrite(task: Task, statement: Statement): string
  /** What the task gets to see; `sent` is what went out. */
  answered(task: Task, sent: Statement, result: QueryResult): QueryResult
  /** How many statements were changed. */
  readonly changed: number
  /** Set where a statement went past the one connection of its task. */
  strayed: boolean
}

/** What `pg` answers. */
export interface QueryResult {
  readonly rows: (Record<string, unknown> | unknown[])[]
  readonly rowCount: number | null
  readonly fields: readonly { readonly name: string }[]
}

/** FOR UPDATE on these SELECTs. */
export class LockedReads implements Treatment {
  changed = 0
  strayed = false
  readonly #texts: ReadonlySet<string>

  constructor(texts: ReadonlySet<string>) {
    this.#texts = texts
  }

  rewrite(_: Task, { text }: Statement): string {
    if (!this.#texts.has(text)) return text
    this.changed += 1
    return forUpdate(text)
  }

  answered(_: Task, __: Statement, result: QueryResult): QueryResult {
    return result
  }
}

/** Every transaction is SERIALIZABLE, whatever it asked for. */
export class SerializableTransactions implements Treatment {
  changed = 0
  strayed = false

  rewrite(_: Task, { text }: Statement): string {
    const treated = serializable(text)
    if (treated !== text) this.changed += 1
    return treated
  }

  answered(_: Task, __: Statement, result: QueryResult): QueryResult {
    return result
  }
}

const LEVEL = /\s*isolation\s+level\s+(serializable|repeatable\s+read|read\s+committed|read\s+uncommitted),?/i

/** The statement that begins a transaction, or names its level, with SERIALIZABLE in it. */
export function serializable(text: string): string {
  if (/^(begin|start\s+transaction)\b/i.test(text)) {
    return text
      .replace(LEVEL, '')
      .replace(/^(begin(\s+(work|transaction))?|start\s+transaction)/i, '$1 isolation level serializable')
  }
  return /^set\s+(local\s+)?transaction\b/i.test(text)
    ? text.replace(LEVEL, ' isolation level serializable')
    : text
}

const VERSION = 'holdfast_race_version'

/**
 * Optimistic locking: a row is updated only while it is the version that the task read, by its `xmin`. The read is one of
 * `reads`, by a condition that gives one row, and the update names its row by the same condition.
 */
export class CheckedVersions implements Treatment {
  changed = 0
  strayed = false
  readonly #reads: ReadonlySet<string>
  readonly #versions = new WeakMap<Task, Map<string, string>>()

  constructor(reads: ReadonlySet<string>) {
    this.#reads = reads
  }

  rewrite(task: Task, { text, values }: Statement): string {
    if (this.#reads.has(text)) return withColumn(text, `xmin::text as ${VERSION}`)
    const access = accessOf({ text, values, number: 0, task: task.name })
    if (access?.kind !== 'update') return text
    const version = this.#versions.get(task)?.get(`${access.table} ${access.where}`)
    // One update: the next one of this task meets the version that this one writes.
    this.#versions.get(task)?.delete(`${access.table} ${access.where}`)
    const checked = version === undefined ? undefined : withCondition(text, `xmin = '${version}'`)
    if (checked === undefined) return text
    this.changed += 1
    return checked
  }

  answered(task: Task, { text, values }: Statement, result: QueryResult): QueryResult {
    if (result.fields?.some(({ name }) => name === VERSION)) {
      const access = accessOf({ text, values, number: 0, task: task.name })
      const versions = result.rows.map((row) => takeVersion(row))
      const known = this.#versions.get(task) ?? new Map<string, string>()
      this.#versions.set(task, known)
      if (access !== undefined && versions.length === 1)
        known.set(`${access.table} ${access.where}`, String(versions[0]))
      return Object.assign(result, { fields: result.fields.filter(({ name }) => name !== VERSION) })
    }
    if (/ xmin = '\d+'/.test(text) && result.rowCount === 0) {
      throw Object.assign(new Error('the row has changed since it was read'), {
        code: '40001',
        name: 'error',
      })
    }
    return result
  }
}

function takeVersion(row: Record<string, unknown> | unknown[]): unknown {
  if (Array.isArray(row)) return row.pop()
  const version = row[VERSION]
  delete row[VERSION]
  return version
}
