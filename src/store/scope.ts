import { ConfigError } from '../core/errors.ts'
import type { LockRequest, Session, Statement, Statements, SyncStatements } from './engine.ts'
import { TransactionStateError } from './errors.ts'
import { compileSql, Sql, type SqlValue, sql } from './sql.ts'
import type { Store } from './store.ts'
import type {
  Flush,
  JoinedTransaction,
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
 * ended: every use is refused; what the work function still had in the air cannot reach the next transaction.
 */
type State = 'open' | 'nested' | 'ended'

abstract class Scope implements TransactionBase {
  readonly store: Store
  readonly signal: AbortSignal
  readonly #statements: Statements
  #state: State = 'open'
  readonly #inFlight = new Set<Promise<unknown>>()
  #flushes = new Map<Flush<unknown>, unknown[]>()

  constructor(store: Store, statements: Statements, signal: AbortSignal) {
    this.store = store
    this.signal = signal
    this.#statements = statements
  }

  async query<R extends object = Row>(statement: Sql | string, values?: readonly SqlValue[]): Promise<R[]> {
    this.assertOpen()
    const { rows } = await this.#track(this.#statements.run(toStatement(this.store, statement, values)))
    return rows as R[]
  }

  async execute(statement: Sql | string, values?: readonly SqlValue[]): Promise<number> {
    this.assertOpen()
    const { changes } = await this.#track(this.#statements.run(toStatement(this.store, statement, values)))
    return changes
  }

  async lockRows<R extends object = Row>(
    table: string,
    where: Where,
    options: LockRowsOptions = {},
  ): Promise<R[]> {
    this.assertOpen()
    return (await this.#track(this.#statements.lockRows(lockRequest(table, where, options)))) as R[]
  }

  beforeCommit<Item>(flush: Flush<Item>, item: Item): void {
    this.assertOpen()
    const items = this.#flushes.get(flush as Flush<unknown>)
    if (items === undefined) this.#flushes.set(flush as Flush<unknown>, [item])
    else items.push(item)
  }

  /** Waits for statements that nobody awaited, then runs what was queued; a flush may queue more. */
  async flush(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight)
    this.assertOpen()
    while (this.#flushes.size > 0) {
      const flushes = this.#flushes
      this.#flushes = new Map()
      for (const [flush, items] of flushes) await flush(this as unknown as Transaction, items)
    }
  }

  end(): void {
    this.#state = 'ended'
  }

  protected setNested(nested: boolean): void {
    if (this.#state !== 'ended') this.#state = nested ? 'nested' : 'open'
  }

  protected adoptFlushes(inner: Scope): void {
    for (const [flush, items] of inner.#flushes) for (const item of items) this.beforeCommit(flush, item)
  }

  protected async settleInFlight(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight)
  }

  protected assertOpen(): void {
    if (this.#state === 'ended')
      throw new TransactionStateError('the transaction is over; its `tx` cannot be used any more')
    if (this.#state === 'nested') {
      throw new TransactionStateError(
        'a nested transaction is open; use its own `tx`, one nested transaction at a time',
      )
    }
  }

  #track<T>(promise: Promise<T>): Promise<T> {
    this.#inFlight.add(promise)
    const forget = (): void => void this.#inFlight.delete(promise)
    promise.then(forget, forget)
    return promise
  }
}

export class OwnScope extends Scope implements OwnTransaction {
  readonly joined = false
  readonly attempt: number
  hooks: (() => void | Promise<void>)[] = []
  readonly #session: Session
  readonly #depth: number

  constructor(store: Store, session: Session, attempt: number, signal: AbortSignal, depth = 0) {
    super(store, session, signal)
    this.#session = session
    this.attempt = attempt
    this.#depth = depth
  }

  async transaction<T>(work: (tx: OwnTransaction) => Promise<T>): Promise<T> {
    this.assertOpen()
    this.setNested(true)
    const savepoint = `holdfast_${this.#depth + 1}`
    const inner = new OwnScope(this.store, this.#session, this.attempt, this.signal, this.#depth + 1)
    try {
      await this.#run(`savepoint ${savepoint}`)
      let result: T
      try {
        result = await work(inner)
        await inner.settleInFlight()
        inner.end()
      } catch (error) {
        inner.end()
        // When this fails too, the connection is gone or was aborted, and the outer rollback deals with that.
        await this.#run(`rollback to savepoint ${savepoint}`).catch(() => {})
        await this.#run(`release savepoint ${savepoint}`).catch(() => {})
        throw error
      }
      await this.#run(`release savepoint ${savepoint}`)
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
    this.hooks.push(hook)
  }

  async #run(text: string): Promise<void> {
    await this.#session.run({ text, values: [], prepare: false })
  }
}

export class JoinedScope extends Scope implements JoinedTransaction {
  readonly joined = true

  constructor(store: Store, statements: Statements) {
    super(store, statements, NEVER)
  }
}

const NEVER = new AbortController().signal

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

function toStatement(
  store: Store,
  statement: Sql | string,
  values: readonly SqlValue[] | undefined,
): Statement {
  if (typeof statement === 'string') return { text: statement, values: values ?? [], prepare: false }
  return { ...compileSql(statement, store.dialect), prepare: true }
}

function lockRequest(table: string, where: Where, options: LockRowsOptions): LockRequest {
  const { strength = 'update', wait = 'block', orderBy, limit } = options
  const problems = [
    table !== '' || 'the table name is empty',
    limit === undefined ||
      (Number.isInteger(limit) && limit > 0) ||
      `limit must be a whole number above 0, got ${limit}`,
    typeof wait !== 'object' || (wait.waitMs > 0 && Number.isFinite(wait.waitMs)) || 'waitMs must be above 0',
    where instanceof Sql ||
      Object.keys(where).length > 0 ||
      'where is empty; to lock every row, pass sql`true`',
  ].filter((p) => p !== true)
  if (problems.length > 0) throw new ConfigError('lockRows', problems as string[])
  return {
    table,
    from: sql.ident(...table.split('.')),
    where: where instanceof Sql ? where : equalTo(where),
    orderBy: orderBy && sql.join(orderBy.map((column) => sql.ident(column))),
    limit,
    strength,
    wait,
  }
}

/** `a = ? and b is null` of a record of column values. */
export function equalTo(columns: Readonly<Record<string, SqlValue>>): Sql {
  return sql.join(
    Object.entries(columns).map(([column, value]) =>
      value === null ? sql`${sql.ident(column)} is null` : sql`${sql.ident(column)} = ${value}`,
    ),
    ' and ',
  )
}
