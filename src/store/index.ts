export { createStore, type StoreOptions } from './create-store.ts'
export type { Dialect, DialectName, InsertColumn, Isolation, LockStrength, LockWait } from './dialect.ts'
export type {
  BeginOptions,
  Engine,
  LockRequest,
  Session,
  Statement,
  StatementResult,
  Statements,
  SyncStatements,
} from './engine.ts'
export {
  AfterCommitError,
  CommitUnknownError,
  ConstraintError,
  DeadlockError,
  isRetriable,
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
} from './errors.ts'
export {
  type Migration,
  type MigrationNames,
  type MigrationStep,
  migrate,
  planMigration,
  printMigrations,
  readRevision,
  requireRevision,
  type TableSet,
} from './migrations.ts'
export type {
  EndOptions,
  PreparedEnd,
  PreparedEngine,
  PreparedTransaction,
  PreparedTransactions,
  PreparedWork,
  PrepareOptions,
} from './prepared.ts'
export { type CompiledSql, compileSql, Sql, type SqlValue, sql } from './sql.ts'
export type { Store, TransactionOptions } from './store.ts'
export { storeTables } from './tables.ts'
export type {
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
export { type PruneWitnessesOptions, pruneWitnesses } from './witness.ts'
