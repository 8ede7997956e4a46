/** Interception at a synchronous SQLite driver, in the worker of a task: each statement waits for its turn. */

import { inTransaction, type SqliteDatabaseLike } from '../../store/sqlite/sqlite-client.ts'
import { reportError } from '../error-report.ts'
import { currentTask } from '../task.ts'
import { CONTINUE, type FromWorker, GIVE_UP, GO, isBusy, type TaskTreatment } from './protocol.ts'

// biome-ignore lint/suspicious/noExplicitAny: a driver's methods take many shapes, passed on as they came
type Any = any

export interface GateParts {
  post(message: FromWorker): void
  /** Blocks the thread until the scheduler signals. */
  wait(): number
  /** Before the first statement on a handle, of a task or not. @throws where it is on a file that it must not touch */
  check?(db: SqliteDatabaseLike): void
}

const DEFERRED = /^\s*begin(\s+(deferred|transaction))*\s*;?\s*$/i
const TOUCHES_NOTHING = /^\s*(savepoint|pragma)\b/i
const SETS_TIMEOUT = /\bpragma\s+(\w+\.)?busy_timeout\s*[=(]/i

/** Rows of an answer that a report shows. */
const ROWS_SHOWN = 5

/** One per worker. Statements outside of the task, such as those that a module runs when it is loaded, pass untouched. */
export class Gate {
  readonly #parts: GateParts
  readonly #treatment: TaskTreatment
  /** Set while all statements of the task are to stand in one transaction, on the handle of the first one. */
  #whole: { db: SqliteDatabaseLike | undefined } | undefined
  /** The text and handle of each statement that was prepared since. */
  readonly #prepared = new WeakMap<object, { readonly text: string; readonly db: SqliteDatabaseLike }>()
  /** Handles of the task in whose transaction it is, as of their last statement. */
  readonly #open = new Set<SqliteDatabaseLike>()
  /** Handles whose transaction has read or written: SQLite refuses these at once instead of waiting. */
  readonly #begun = new WeakSet<SqliteDatabaseLike>()
  /** The driver's own `exec`, for what is not the task's. */
  readonly #exec = new WeakMap<object, (this: SqliteDatabaseLike, text: string) => unknown>()
  /** Prototypes that are patched. */
  readonly #patched = new WeakSet<object>()
  readonly #checked = new WeakSet<SqliteDatabaseLike>()
  #inside = false
  #givenUp = false

  constructor(parts: GateParts, treatment: TaskTreatment) {
    this.#parts = parts
    this.#treatment = treatment
  }

  /** Patches the class of a handle and that of its statements: the first one of a task may be prepared out of sight. */
  patch(handle: SqliteDatabaseLike): void {
    this.#patchDatabase(holderOf(handle, 'prepare'))
    this.#patchStatements(handle.prepare('select 1'))
  }

  #patchDatabase(database: Any): void {
    if (database === null || this.#patched.has(database)) return
    this.#patched.add(database)
    const { prepare, exec, close } = database
    this.#exec.set(database, exec)
    const gate = this
    database.prepare = function patchedPrepare(this: Any, text: string, ...rest: Any[]) {
      const made = prepare.call(this, text, ...rest)
      gate.#patchStatements(made)
      gate.#prepared.set(made, { text, db: this })
      return made
    }
    database.exec = function patchedExec(this: Any, text: string) {
      return gate.#pass({ db: this, text, values: [], perform: () => exec.call(this, text) })
    }
    database.close = function patchedClose(this: Any, ...args: Any[]) {
      gate.#open.delete(this)
      return close.apply(this, args)
    }
  }

  #patchStatements(made: Any): void {
    const statement = holderOf(made, 'all')
    if (statement === null || this.#patched.has(statement)) return
    this.#patched.add(statement)
    const gate = this
    for (const name of ['run', 'get', 'all', 'iterate']) {
      const method = statement[name]
      if (typeof method !== 'function') continue
      statement[name] = function patched(this: Any, ...args: Any[]) {
        const known = gate.#prepared.get(this)
        // better-sqlite3 prepares the statements of its own transactions out of sight, and tells their text.
        const db = known?.db ?? this.database
        if (db === undefined) return method.apply(this, args)
        const text = known?.text ?? this.source
        return gate.#pass({ db, text, values: args.flat(), perform: () => method.apply(this, args) })
      }
    }
  }

  /** A schedule begins. */
  open(): void {
    this.#givenUp = false
  }

  /** The task with all of its statements in one transaction, begun by the first of them. */
  async inOneTransaction(body: () => unknown): Promise<unknown> {
    const one: { db: SqliteDatabaseLike | undefined } = { db: undefined }
    this.#whole = one
    try {
      const value = await body()
      if (one.db !== undefined) this.#order(one.db, 'commit')
      return value
    } catch (error) {
      if (one.db !== undefined && this.#isOpen(one.db)) this.#order(one.db, 'rollback')
      throw error
    } finally {
      this.#whole = undefined
    }
  }

  /** A statement that the task might have made. */
  #order(db: SqliteDatabaseLike, text: string): void {
    this.#pass({ db, text, values: [], perform: () => this.#run(db, text) })
  }

  /** What is done in its place where a remedy is tried. */
  #treat(call: Call): Call {
    const { whole, immediate } = this.#treatment
    const one = this.#whole
    if (whole !== undefined && one !== undefined && one.db === undefined) {
      one.db = call.db
      this.#order(call.db, whole)
    } else if (one?.db !== undefined && one.db !== call.db) {
      const error = new Error('statements on a second handle cannot be put into one transaction')
      this.#parts.post({ kind: 'uncontrolled', error: reportError(error) })
      throw error
    }
    if (!immediate || !DEFERRED.test(call.text)) return call
    const text = 'begin immediate'
    return { db: call.db, text, values: [], perform: () => this.#run(call.db, text) }
  }

  /** Rolls back what the task left open. */
  reset(): void {
    for (const db of this.#open) {
      this.#run(db, 'rollback')
      this.#begun.delete(db)
    }
    this.#open.clear()
  }

  #pass(given: Call): unknown {
    if (this.#parts.check !== undefined && !this.#checked.has(given.db)) {
      this.#checked.add(given.db)
      this.#parts.check(given.db)
    }
    if (this.#inside || currentTask.getStore() === undefined) return given.perform()
    const call = this.#treat(given)
    if (this.#givenUp) return this.#leave(call)
    const { post, wait } = this.#parts
    post({ kind: 'ask', text: call.text.trim(), values: call.values.map(plain) })
    let last: Attempt | undefined
    for (;;) {
      const signal = wait()
      if (signal === GO) {
        last = this.#attempt(call)
        post({ kind: 'done', ...this.#told(call, last) })
      } else if (signal === CONTINUE && last !== undefined) {
        if ('error' in last) throw last.error
        return last.value
      } else if (signal === GIVE_UP) {
        this.#givenUp = true
        return this.#leave(call)
      }
    }
  }

  #leave({ text, perform }: Call): unknown {
    if (/^\s*rollback\b/i.test(text)) return perform()
    throw new Error('the schedule was given up')
  }

  /** Runs the statement with no busy timeout: the driver's own waiting would keep the thread. */
  #attempt(call: Call): Attempt {
    const { db, text } = call
    this.#inside = true
    try {
      const timeoutMs = busyTimeoutMs(db)
      if (timeoutMs > 0) this.#run(db, 'pragma busy_timeout = 0')
      try {
        return { value: call.perform(), busy: false }
      } catch (error) {
        const commits = /^\s*(commit|end)\b/i.test(text)
        return { error, busy: timeoutMs > 0 && isBusy(error) && (commits || !this.#begun.has(db)) }
      } finally {
        if (timeoutMs > 0 && !SETS_TIMEOUT.test(text)) this.#run(db, `pragma busy_timeout = ${timeoutMs}`)
      }
    } finally {
      this.#inside = false
    }
  }

  /** Asking may need a statement, which is not the task's. */
  #isOpen(db: SqliteDatabaseLike): boolean {
    const inside = this.#inside
    this.#inside = true
    try {
      return inTransaction(db)
    } finally {
      this.#inside = inside
    }
  }

  #run(db: SqliteDatabaseLike, text: string): void {
    this.#exec.get(holderOf(db, 'exec'))?.call(db, text)
  }

  /** Whether a transaction is open after a statement. Also asked after an error: some end the transaction. */
  #note({ db, text }: Call, attempt: Attempt): boolean {
    const open = this.#isOpen(db)
    if (!open) {
      this.#open.delete(db)
      this.#begun.delete(db)
      return false
    }
    this.#open.add(db)
    if (!('error' in attempt) && !DEFERRED.test(text) && !TOUCHES_NOTHING.test(text)) this.#begun.add(db)
    return true
  }

  #told(call: Call, attempt: Attempt): Omit<Extract<FromWorker, { kind: 'done' }>, 'kind'> {
    const open = this.#note(call, attempt)
    const holds = this.#open.size > 0
    if ('error' in attempt)
      return {
        rows: [],
        rowCount: undefined,
        error: reportError(attempt.error),
        busy: attempt.busy,
        open,
        holds,
      }
    const { value } = attempt
    const changes = (value as { changes?: unknown } | undefined)?.changes
    const written = typeof changes === 'number' || typeof changes === 'bigint'
    const rows = Array.isArray(value)
      ? value
      : value === undefined || written || isIterator(value)
        ? []
        : [value]
    return {
      rows: rows.slice(0, ROWS_SHOWN).map(shown),
      rowCount: written ? Number(changes) : Array.isArray(value) ? value.length : undefined,
      error: undefined,
      busy: false,
      open,
      holds,
    }
  }
}

interface Call {
  readonly db: SqliteDatabaseLike
  readonly text: string
  readonly values: readonly unknown[]
  perform(): unknown
}

type Attempt =
  | { readonly value: unknown; readonly busy: false }
  | { readonly error: unknown; readonly busy: boolean }

function busyTimeoutMs(db: SqliteDatabaseLike): number {
  const [row] = db.prepare('pragma busy_timeout').all() as { timeout?: unknown }[]
  return Number(row?.timeout ?? 0)
}

/** The object of the prototype chain that has this method itself. */
function holderOf(instance: object, method: string): Any {
  let at: Any = instance
  while (at !== null && !Object.hasOwn(at, method)) at = Object.getPrototypeOf(at)
  return at
}

function isIterator(value: unknown): boolean {
  return typeof (value as { next?: unknown } | null)?.next === 'function'
}

/** A row without what libsql adds of its own: how long the statement took. */
function shown(row: unknown): unknown {
  if (typeof row !== 'object' || row === null) return plain(row)
  const { _metadata, ...rest } = row as Record<string, unknown>
  return plain(rest)
}

/** As it may cross to another thread. */
function plain(value: unknown): unknown {
  try {
    return structuredClone(value)
  } catch {
    return String(value)
  }
}
