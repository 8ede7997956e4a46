import type { Deadline } from './deadline.ts'
import type { Dialect, Isolation, LockStrength, LockWait } from './dialect.ts'
import type { PreparedEnd, PreparedEngine } from './prepared.ts'
import type { Sql, SqlValue } from './sql.ts'
import type { Row } from './transaction.ts'

/**
 * What an adapter supplies; `createStore` makes a Store of it. The rules of transactions (retries, nesting, hooks,
 * time-outs, witness) are written once there, and an adapter holds only what is peculiar to its database and driver.
 */
export interface Engine {
  readonly dialect: Dialect
  /**
   * Opens a transaction. An engine may put BEGIN off to the first statement, so long as the store cannot tell.
   * The store stops waiting when `deadline` fires, and releases a session that arrives later.
   */
  begin(options: BeginOptions): Session | Promise<Session>
  /** How many transactions wait for a connection, or for their turn to write. */
  readonly waiting: number
  /** Lends an open transaction of the user's own library. Throws ConfigError for an unknown shape. */
  adopt(handle: unknown): Statements
  adoptSync(handle: unknown): SyncStatements
  /** Undefined where the database has no prepared transactions; sessions then lack `prepare` too. */
  readonly prepared?: PreparedEngine
  close(): Promise<void>
}

export interface BeginOptions {
  readonly isolation: Isolation | undefined
  readonly readOnly: boolean
  /** One statement is the whole transaction, so BEGIN and COMMIT may be left out. */
  readonly alone: boolean
  /** Goes before all that wait and are not urgent. */
  readonly urgent: boolean
  /** The end of the transaction's time: whoever waits for a turn gives up with it. */
  readonly deadline: Deadline
}

/** One statement as it goes to the driver. `prepare` is true for the program's own constant texts. */
export interface Statement {
  readonly text: string
  readonly values: readonly SqlValue[]
  readonly prepare: boolean
}

export interface StatementResult {
  readonly rows: Row[]
  /** Rows inserted, updated or deleted. */
  readonly changes: number
}

export interface Statements {
  /** Rejects with one of our errors, translated by the adapter's table. */
  run(statement: Statement): Promise<StatementResult>
  lockRows(request: LockRequest): Promise<Row[]>
}

export interface SyncStatements {
  runSync(statement: Statement): StatementResult
}

/** One open transaction on one connection. */
export interface Session extends Statements {
  /**
   * Rejects with an error whose `outcome` is `not-applied` when the database answered that it rolled back, and
   * `unknown` when the answer is missing. Gives no promise where COMMIT is done at once.
   */
  commit(): void | Promise<void>
  /**
   * Runs the transaction's last statement and commits, in one flight where the driver can: a COMMIT behind a statement
   * that fails is not carried out. Rejects as `commit` does; the transaction is over when the outcome is `not-applied`.
   * Absent where that would spare nothing.
   */
  commitWith?(last: Statement): Promise<StatementResult>
  rollback(): Promise<void>
  /**
   * Ends the work and keeps it, neither committed nor rolled back, under `gid`, which is plain text. False when the
   * transaction touched nothing, so that there is nothing to keep.
   */
  prepare?(gid: string): Promise<boolean>
  /** Ends what this session prepared. */
  endPrepared?(gid: string, how: 'commit' | 'rollback'): Promise<PreparedEnd>
  /**
   * Stops the statement that runs at the server, so that what it waits for does not hold its locks. Bounded.
   * Fulfils when the request can hit no later statement; rejects when that is not certain, and the connection must then
   * be thrown away.
   */
  cancel(): void | Promise<void>
  /** True once a statement was sent whose COMMIT is its own: without an answer it may stand. */
  readonly mayStand?: boolean
  /** Gives the connection back, or throws it away when `broken`. */
  release(broken: boolean): void
}

export interface LockRequest {
  /** How the table is called in error messages. */
  readonly table: string
  readonly from: Sql
  readonly where: Sql
  readonly orderBy: Sql | undefined
  readonly limit: number | undefined
  readonly strength: LockStrength
  readonly wait: LockWait
}
