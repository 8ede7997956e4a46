import type { LockStrength, LockWait } from './dialect.ts'
import type { Sql, SqlValue } from './sql.ts'
import type { Store } from './store.ts'

export type Row = Record<string, unknown>

/** Column values that must all be equal, or a fragment of SQL. */
export type Where = Readonly<Record<string, SqlValue>> | Sql

export interface LockRowsOptions {
  /** Default `update`. */
  readonly strength?: LockStrength
  /** Default `block`, bounded by the transaction's `timeoutMs`. */
  readonly wait?: LockWait
  /** Columns to order by before locking; lock several rows in one order everywhere and they cannot deadlock. */
  readonly orderBy?: readonly string[]
  readonly limit?: number
}

/** What every transaction can do, whether Holdfast began it or joined it. */
export interface TransactionBase {
  readonly store: Store
  /** Fires on the caller's abort and on the timeout; hand it to everything that waits. */
  readonly signal: AbortSignal

  /**
   * Runs one statement and gives its rows. A string takes the database's own placeholders (`$1`, `?`); the `sql` tag
   * writes them for you.
   * @throws an error of the table in docs/reference/errors.md; the driver's own error is its `cause`
   */
  query<R extends object = Row>(statement: Sql | string, values?: readonly SqlValue[]): Promise<R[]>

  /** Runs one statement and gives the number of rows it changed. */
  execute(statement: Sql | string, values?: readonly SqlValue[]): Promise<number>

  /**
   * Locks the rows of `table` that match, until the end of the transaction, and gives them as they are now.
   *
   * Bounds: one deadline for the whole statement, however many rows it waits for.
   * @throws RowLockedError with `nowait`; LockTimeoutError with `waitMs`; UnsupportedError for what the database lacks
   */
  lockRows<R extends object = Row>(table: string, where: Where, options?: LockRowsOptions): Promise<R[]>

  /**
   * Queues `item` for `flush`, which runs once, right before COMMIT (for a joined transaction: when the callback ends),
   * with all items queued under the same function. Items of a nested transaction that rolled back are dropped.
   */
  beforeCommit<Item>(flush: Flush<Item>, item: Item): void
}

/**
 * Runs its statements in `tx`. It may give its last one instead of running it: the store then sends it together with
 * COMMIT, which spares a round trip.
 */
// biome-ignore lint/suspicious/noConfusingVoidType: most have nothing to give
export type Flush<Item> = (tx: Transaction, items: readonly Item[]) => Promise<Sql | LastStatement | void>

/** A statement whose rows somebody wants, though it travels with COMMIT. */
export interface LastStatement {
  readonly statement: Sql
  /** Called before the `afterCommit` hooks; not at all where the answer was lost. */
  readonly onRows: (rows: readonly Row[]) => void
}

/** A transaction that Holdfast began: it sees the commit and may be run again. */
export interface OwnTransaction extends TransactionBase {
  readonly joined: false
  /** 1 on the first run of the work function, then one more for each retry. */
  readonly attempt: number

  /** A nested transaction, which is a savepoint: what it did vanishes when `work` throws, and the outer one goes on. */
  transaction<T>(work: (tx: OwnTransaction) => Promise<T>): Promise<T>

  /** Runs `hook` after a real COMMIT, in order of registration; never after a rollback or an unknown outcome. */
  afterCommit(hook: () => void | Promise<void>): void
}

/** The user's own open transaction, lent for the length of a callback: its commit is not seen and it is never retried. */
export interface JoinedTransaction extends TransactionBase {
  readonly joined: true
}

export type Transaction = OwnTransaction | JoinedTransaction

/** The user's own open transaction in a synchronous driver (node:sqlite, better-sqlite3, Drizzle over them). */
export interface SyncTransaction {
  readonly joined: 'sync'
  readonly store: Store
  querySync<R extends object = Row>(statement: Sql | string, values?: readonly SqlValue[]): R[]
  executeSync(statement: Sql | string, values?: readonly SqlValue[]): number
}
