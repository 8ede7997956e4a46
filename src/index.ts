// The parts have entries of their own: holdfast/outbox, holdfast/inbox, holdfast/version, holdfast/lease, …
// Stores: holdfast/postgres, holdfast/sqlite. Brokers: holdfast/store-queue, holdfast/rabbitmq, holdfast/nats.

// What every part takes or gives.
export type { Background } from './core/background.ts'
export { type Clock, systemClock } from './core/clock.ts'
// Errors: match `code`, read `outcome`.
export {
  ConfigError,
  HoldfastError,
  isHoldfastError,
  type Outcome,
  PayloadError,
  type PayloadIssue,
  UnsupportedError,
} from './core/errors.ts'
export { type Log, silentLog } from './core/log.ts'
export type { StandardSchemaV1 } from './core/standard-schema.ts'
// Transactions.
export type { Isolation, LockStrength, LockWait } from './store/dialect.ts'
export {
  AfterCommitError,
  CommitUnknownError,
  ConstraintError,
  DeadlockError,
  LockTimeoutError,
  RowLockedError,
  SchemaRevisionError,
  SerializationError,
  StatementError,
  StoreBusyError,
  StoreClosedError,
  StoreUnavailableError,
  TransactionAbortedError,
  TransactionStateError,
  TransactionTimeoutError,
  WitnessExpiredError,
} from './store/errors.ts'
export { type MigrationStep, migrate, type TableSet } from './store/migrations.ts'
export { Sql, type SqlValue, sql } from './store/sql.ts'
export type { Store, TransactionOptions } from './store/store.ts'
export type {
  JoinedTransaction,
  LockRowsOptions,
  OwnTransaction,
  SyncTransaction,
  Transaction,
} from './store/transaction.ts'
