// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
export type { BankOptions } from './bank.ts'
export {
  type CheckTransactionsInput,
  checkTransactions,
  TRANSACTION_MODELS,
  type TransactionCheck,
  type TransactionModel,
} from './check-transactions.ts'
export {
  type MicroOpModel,
  type OperationLike,
  transactionsFromOperations,
} from './formats/from-operations.ts'
export { type CobraLog, parseCobra } from './formats/parse-cobra.ts'
export { parseDbcop } from './formats/parse-dbcop.ts'
export { parseText } from './formats/parse-text.ts'
export { JsonLinesScanner } from './formats/scan-jsonl.ts'
export {
  type BegunTransaction,
  type Definition,
  FAIL,
  INFO,
  OK,
  type TransactionHistory,
  TransactionHistoryBuilder,
} from './history.ts'
export type { Datum } from './intern.ts'
export { LEVELS, type Level } from './levels.ts'
export { MalformedHistoryError } from './malformed.ts'
