// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
export type { BankOptions } from './transactions/bank.ts'
export {
  type CheckTransactionsInput,
  checkTransactions,
  type ExplainedAnomaly,
  type InvolvedTransaction,
  TRANSACTION_MODELS,
  type TransactionCheck,
  type TransactionModel,
} from './transactions/check-transactions.ts'
export { drawAnomaly } from './transactions/draw.ts'
export type { ExplainedStep } from './transactions/explain.ts'
export {
  type MicroOpModel,
  type OperationLike,
  transactionsFromOperations,
} from './transactions/formats/from-operations.ts'
export { type CobraLog, parseCobra } from './transactions/formats/parse-cobra.ts'
export { parseDbcop } from './transactions/formats/parse-dbcop.ts'
export { parseText } from './transactions/formats/parse-text.ts'
export { JsonLinesScanner } from './transactions/formats/scan-jsonl.ts'
export {
  type BegunTransaction,
  type Definition,
  FAIL,
  INFO,
  OK,
  type TransactionHistory,
  TransactionHistoryBuilder,
} from './transactions/history.ts'
export type { Datum } from './transactions/intern.ts'
export { LEVELS, type Level } from './transactions/levels.ts'
export { MalformedHistoryError } from './transactions/malformed.ts'
