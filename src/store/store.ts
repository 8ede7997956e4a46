import type { Clock } from '../core/clock.ts'
import type { Dialect, Isolation } from './dialect.ts'
import type { CommitUnknownError } from './errors.ts'
import type { PreparedTransactions } from './prepared.ts'
import type { Sql, SqlValue } from './sql.ts'
import type {
  JoinedTransaction,
  OwnTransaction,
  Row,
  SyncTransaction,
  TransactionBase,
} from './transaction.ts'

export interface TransactionOptions {
  /** The least isolation accepted. Default: the database's own default (PostgreSQL: read committed; SQLite: serializable). */
  readonly isolation?: Isolation
  readonly readOnly?: boolean
  /**
   * Bound of all attempts together, waiting for a connection included. Default 30 000. A server that answers neither
   * the cancel request nor ROLLBACK costs up to two seconds more.
   */
  readonly timeoutMs?: number
  /** Attempts after the first, made only for what the database calls retriable. Default 10; 0 switches retrying off. */
  readonly retries?: number
  readonly signal?: AbortSignal
  /** Writes one witness row in the transaction, so that `resolve` can tell whether an unknown COMMIT happened. */
  readonly witness?: boolean
  /**
   * Does not queue behind the store's other transactions: the last connection of a pool of four or more is kept back for
   * these, and the next turn to write SQLite is theirs. For short ones that are worth nothing late, as the renewal of a
   * lease is: were it to wait behind the work that the lease protects, much work would end the lease.
   */
  readonly urgent?: boolean
}

/** A database that runs transactions. Made by `postgres(pool)` or `sqlite({ open })`; the application owns the driver. */
export interface Store extends AsyncDisposable {
  readonly dialect: Dialect
  readonly clock: Clock
  /** The quoted name of one of Holdfast's tables: `holdfast_outbox`, in the configured schema and prefix. */
  table(name: string): Sql
  /** The bare name with the prefix, for names of indexes and constraints. */
  tableName(name: string): string

  /**
   * Runs `work` in a transaction and commits when it fulfils, rolls back when it rejects.
   *
   * Guarantee: when this fulfils, the transaction is durable. When it rejects, `error.outcome` says what is known;
   * errors thrown by `work` itself pass through unchanged after the rollback.
   * Bounds: at most `1 + retries` runs within `timeoutMs`; between them a jittered wait. `work` must keep its effects
   * inside the transaction, since it may run more than once.
   * @throws CommitUnknownError, outcome `unknown`: no reply to COMMIT. @throws AfterCommitError, outcome `applied`.
   */
  transaction<T>(
    work: (tx: OwnTransaction, attempt: number) => Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>

  /**
   * One statement that only reads, in one round trip and beside any writer. SQLite refuses one that writes; PostgreSQL
   * runs it outside of a transaction, where it would be committed at once.
   */
  read<R extends object = Row>(statement: Sql | string, values?: readonly SqlValue[]): Promise<R[]>

  /**
   * One statement that is a transaction by itself, in one round trip where the database can: without BEGIN, so at the
   * connection's own isolation level. Run again when the database asks for it.
   * @throws CommitUnknownError, outcome `unknown`: it was sent and no answer came, for whatever reason
   */
  autocommit<R extends object = Row>(
    statement: Sql,
    options?: Pick<TransactionOptions, 'urgent' | 'timeoutMs' | 'signal'>,
  ): Promise<R[]>

  /**
   * One statement in a transaction of its own.
   * @throws UnsupportedError when all it does is lock (`select … for update`): the lock would end with the statement
   */
  query<R extends object = Row>(statement: Sql | string, values?: readonly SqlValue[]): Promise<R[]>
  execute(statement: Sql | string, values?: readonly SqlValue[]): Promise<number>

  /**
   * Always refused: a row lock ends with its transaction, and here none is open. Use `tx.lockRows`.
   * @throws UnsupportedError
   */
  lockRows(...lock: Parameters<TransactionBase['lockRows']>): Promise<never>

  /**
   * Lends the open transaction of your own library (a `pg` client, Kysely's or Drizzle's `tx`, an SQLite handle) to
   * Holdfast for the length of `work`. What was published is written when `work` ends; your library commits.
   * @throws ConfigError when the handle is of no known shape, or shows that no transaction is open
   */
  join<T>(handle: unknown, work: (tx: JoinedTransaction) => Promise<T>): Promise<T>

  /** `join` for synchronous SQLite transactions. */
  joinSync<T>(handle: unknown, work: (tx: SyncTransaction) => T): T

  /**
   * Finds out whether the COMMIT that got no reply happened, and if not, makes sure that it never will.
   * @throws ConfigError when the transaction had no witness row
   */
  resolve(error: CommitUnknownError): Promise<'applied' | 'not-applied'>

  /** Prepared transactions, for a coordinator of two-phase commit. Undefined where the database has none (SQLite). */
  readonly prepared: PreparedTransactions | undefined

  /**
   * Refuses what begins later, with StoreClosedError, and ends what the store opened itself; a pool that the application
   * passed in stays open. Stop relays, consumers and the like first: those that still run end with that error.
   */
  close(): Promise<void>
}
