import { ConfigError, UnsupportedError } from '../core/errors.ts'
import type { Deadline } from './deadline.ts'
import type { Session, Statement, Statements, SyncStatements } from './engine.ts'
import { TransactionAbortedError, TransactionStateError } from './errors.ts'
import { lockRequest } from './lock-request.ts'
import { Sql, type SqlValue } from './sql.ts'
import { StatementPromise } from './statement-promise.ts'
import type { Store } from './store.ts'
import { toStatement } from './to-statement.ts'
import type {
  Flush,
  JoinedTransaction,
  LastStatement,
  LockRowsOptions,
  OwnTransaction,
  Row,
  SyncTransaction,
  Transaction,
  TransactionBase,
  Where,
} from './transaction.ts'

/**
 * The state of one transaction object.
 *
 * open: statements run. Left for `nested` when a nested transaction begins, for `ended` when the work is over.
 * nested: an inner transaction is open, and a statement here would silently become part of it, so it is refused.
 * doomed: an inner transaction could not be undone, so what it wrote may still be there; only rolling back is left.
 * ended: every use is refused; what the work function still had in the air cannot reach the next transaction.
 */
type State = 'open' | 'nested' | 'doomed' | 'ended'

/** A transaction's last statement, as it goes to the driver. */
export interface Last extends Pick<LastStatement, 'onRows'> {
  readonly statement: Statement
}

// biome-ignore lint/suspicious/noConfusingVoidType: what a flush gives
function toLast(given: Sql | LastStatement | void): LastStatement | undefined {
  return given instanceof Sql ? { statement: given, onRows: nothing } : (given ?? undefined)
}

abstract class Scope implements TransactionBase {
  readonly store: Store
  readonly #statements: Statements
  #state: State = 'open'
  readonly #inFlight = new Set<StatementPromise<unknown>>()
  readonly #failed: StatementPromise<unknown>[] = []
  /** Made when something is queued: most transactions queue nothing. */
  #flushes: Map<Flush<unknown>, unknown[]> | undefined
  #doom: unknown

  constructor(store: Store, statements: Statements) {
    this.store = store
    this.#statements = statements
  }

  abstract readonly signal: AbortSignal

  query<R extends object = Row>(statement: Sql | string, values?: readonly SqlValue[]): Promise<R[]> {
    return this.#start(
      () => this.#statements.run(toStatement(this.store, statement, values)),
      ({ rows }) => rows as R[],
    )
  }

  execute(statement: Sql | string, values?: readonly SqlValue[]): Promise<number> {
    return this.#start(
      () => this.#statements.run(toStatement(this.store, statement, values)),
      ({ changes }) => changes,
    )
  }

  lockRows<R extends object = Row>(table: string, where: Where, options: LockRowsOptions = {}): Promise<R[]> {
    return this.#start(
      () => this.#statements.lockRows(lockRequest(table, where, options)),
      (rows) => rows as R[],
    )
  }

  beforeCommit<Item>(flush: Flush<Item>, item: Item): void {
    this.assertOpen()
    this.#flushes ??= new Map()
    const items = this.#flushes.get(flush as Flush<unknown>)
    if (items === undefined) this.#flushes.set(flush as Flush<unknown>, [item])
    else items.push(item)
  }

  /**
   * Waits for statements that nobody awaited, then runs what was queued; a flush may queue more. Gives the statement that
   * is left to be the transaction's last.
   */
  async flush(): Promise<Last | undefined> {
    if (this.#inFlight.size > 0 || this.#failed.length > 0) await this.settleInFlight()
    else this.assertOpen()
    let last: LastStatement | undefined
    while (this.#flushes !== undefined) {
      const flushes = this.#flushes
      this.#flushes = undefined
      for (const [flush, items] of flushes) {
        if (last !== undefined) last.onRows(await this.query(last.statement))
        last = toLast(await flush(this as unknown as Transaction, items))
      }
    }
    return last && { statement: toStatement(this.store, last.statement, undefined), onRows: last.onRows }
  }

  /** Runs a statement that `flush` left. */
  async runLast({ statement, onRows }: Last): Promise<void> {
    await this.#start(
      () => this.#statements.run(statement),
      ({ rows }) => onRows(rows),
    )
  }

  /** True while a statement is under way. */
  get busy(): boolean {
    return this.#inFlight.size > 0
  }

  end(): void {
    this.#state = 'ended'
  }

  protected setNested(nested: boolean): void {
    if (this.#state === 'open' || this.#state === 'nested') this.#state = nested ? 'nested' : 'open'
  }

  protected doom(cause: unknown): void {
    this.#state = 'doomed'
    this.#doom = cause
  }

  protected adoptFlushes(inner: Scope): void {
    for (const [flush, items] of inner.#flushes ?? [])
      for (const item of items) this.beforeCommit(flush, item)
  }

  /** Waits until nothing is under way, however that ended. */
  async quiet(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all([...this.#inFlight].map((held) => held.settled()))
  }

  /** Waits for statements that nobody awaited; one that failed without anybody looking fails the transaction. */
  async settleInFlight(): Promise<void> {
    await this.quiet()
    for (const { observed, failure } of this.#failed) if (!observed) throw failure?.error
    this.assertOpen()
  }

  protected assertOpen(): void {
    switch (this.#state) {
      case 'open':
        return
      case 'ended':
        throw new TransactionStateError('the transaction is over; its `tx` cannot be used any more')
      case 'doomed':
        throw new TransactionAbortedError({ cause: this.#doom })
      case 'nested':
        throw new TransactionStateError(
          'a nested transaction is open; use its own `tx`, one nested transaction at a time',
        )
    }
  }

  /** A statement that is refused here counts as one that failed, unless the transaction is over. */
  #start<A, B>(send: () => Promise<A>, pick: (answer: A) => B): Promise<B> {
    let sent: Promise<A>
    try {
      this.assertOpen()
      sent = send()
    } catch (error) {
      sent = Promise.reject(error)
      if (this.#state === 'ended') return sent as Promise<never>
    }
    const held = new StatementPromise<B>((resolve, reject) => {
      sent.then(
        (answer) => {
          this.#inFlight.delete(held)
          resolve(pick(answer))
        },
        (error) => {
          this.#inFlight.delete(held)
          this.#failed.push(held)
          held.failure = { error }
          void held.settled() // no unhandled rejection: the transaction reports it
          reject(error)
        },
      )
    })
    this.#inFlight.add(held)
    return held
  }
}

export class OwnScope extends Scope implements OwnTransaction {
  readonly joined = false
  readonly attempt: number
  hooks: (() => void | Promise<void>)[] = []
  readonly #session: Session
  readonly #deadline: Deadline
  readonly #depth: number
  #inner: OwnScope | undefined

  constructor(store: Store, session: Session, attempt: number, deadline: Deadline, depth = 0) {
    super(store, session)
    this.#deadline = deadline
    this.#session = session
    this.attempt = attempt
    this.#depth = depth
  }

  get signal(): AbortSignal {
    return this.#deadline.signal
  }

  /** True when a statement that commits itself is on its way, so that a missing answer says nothing. */
  get mayStand(): boolean {
    return this.#session.mayStand === true
  }

  override get busy(): boolean {
    return super.busy || (this.#inner?.busy ?? false)
  }

  override end(): void {
    super.end()
    this.#inner?.end()
  }

  async transaction<T>(work: (tx: OwnTransaction) => Promise<T>): Promise<T> {
    this.assertOpen()
    this.setNested(true)
    const savepoint = `holdfast_${this.#depth + 1}`
    const inner = new OwnScope(this.store, this.#session, this.attempt, this.#deadline, this.#depth + 1)
    this.#inner = inner
    try {
      await this.#run(`savepoint ${savepoint}`)
      let result: T
      try {
        result = await work(inner)
        await inner.settleInFlight()
        inner.end()
        // Refused when a statement of `work` had failed and its error was swallowed (PostgreSQL).
        await this.#run(`release savepoint ${savepoint}`)
      } catch (error) {
        inner.end()
        await this.#undo(savepoint, inner)
        throw error
      }
      this.setNested(false)
      this.adoptFlushes(inner)
      this.hooks.push(...inner.hooks)
      return result
    } finally {
      this.setNested(false)
    }
  }

  afterCommit(hook: () => void | Promise<void>): void {
    this.assertOpen()
    if (typeof hook !== 'function') throw new ConfigError('afterCommit', ['the hook must be a function'])
    this.hooks.push(hook)
  }

  /** When this fails, the whole transaction is gone or beyond repair, and going on could write outside of any. */
  async #undo(savepoint: string, inner: OwnScope): Promise<void> {
    try {
      if (inner.busy) await this.#session.cancel()
      await this.#run(`rollback to savepoint ${savepoint}`)
      await this.#run(`release savepoint ${savepoint}`)
    } catch (cause) {
      this.doom(cause)
    }
  }

  async #run(text: string): Promise<void> {
    await this.#session.run({ text, values: [], prepare: false })
  }
}

export class JoinedScope extends Scope implements JoinedTransaction {
  readonly joined = true
  #never: AbortSignal | undefined

  /** Not in the type: for who writes JavaScript. */
  transaction(): never {
    throw new UnsupportedError(
      'a joined transaction has no nested ones: use the savepoints of the library it is from',
    )
  }

  /** Not in the type, as above. */
  afterCommit(): never {
    throw new UnsupportedError(
      'a joined transaction does not see its COMMIT, so it has no afterCommit: call what is to follow after your own',
    )
  }

  /** Of this transaction alone: listeners on one signal for all would pile up. */
  get signal(): AbortSignal {
    this.#never ??= new AbortController().signal
    return this.#never
  }
}

export class SyncScope implements SyncTransaction {
  readonly joined = 'sync'
  readonly store: Store
  readonly #statements: SyncStatements
  #ended = false

  constructor(store: Store, statements: SyncStatements) {
    this.store = store
    this.#statements = statements
  }

  querySync<R extends object = Row>(statement: Sql | string, values?: readonly SqlValue[]): R[] {
    return this.#run(statement, values).rows as R[]
  }

  executeSync(statement: Sql | string, values?: readonly SqlValue[]): number {
    return this.#run(statement, values).changes
  }

  end(): void {
    this.#ended = true
  }

  #run(statement: Sql | string, values?: readonly SqlValue[]): { rows: Row[]; changes: number } {
    if (this.#ended)
      throw new TransactionStateError('the transaction is over; its `tx` cannot be used any more')
    return this.#statements.runSync(toStatement(this.store, statement, values))
  }
}

function nothing(): void {}
