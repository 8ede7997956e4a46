// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
export {
  type CheckHistoryOptions,
  checkHistory,
  type HistorySource,
  MODELS,
  type ModelName,
} from './check-history.ts'
export { type CheckDeliveryOptions, checkDelivery } from './delivery/check-delivery.ts'
export { FORMATS, type Format } from './formats/detect.ts'
export { parseEdnHistory } from './formats/edn-history.ts'
export { parseJsonLines } from './formats/jsonl.ts'
export { type PorcupineHistory, parsePorcupine } from './formats/porcupine.ts'
export {
  type CheckLinearizableOptions,
  checkLinearizable,
  type LinearizabilityVerdict,
} from './linearizability/check.ts'
export { UnknownOperationError } from './linearizability/errors.ts'
export type { Model, ModelOperation } from './linearizability/model.ts'
export {
  casRegister,
  counter,
  fencedLock,
  kv,
  LINEARIZABLE_MODELS,
  type LinearizableModel,
  lock,
  mutex,
  queue,
  register,
  set,
  stack,
  unorderedQueue,
} from './linearizability/models.ts'
export { multiRegister } from './linearizability/multi-register.ts'
export { type Operation, pairOperations } from './linearizability/operation.ts'
export type { HistoryEvent } from './operation.ts'
export { type RecordedPool, type Recording, type RecordOptions, record } from './record/record.ts'
export { drawAnomaly } from './report/draw-anomaly.ts'
export { type HtmlReportOptions, htmlReport } from './report/html.ts'
export type { BankOptions } from './transactions/bank.ts'
export {
  type CheckTransactionsInput,
  checkTransactions,
  TRANSACTION_MODELS,
  type TransactionCheck,
  type TransactionModel,
} from './transactions/check-transactions.ts'
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
export { LEVELS, type Level, levelNamed } from './transactions/levels.ts'
export { MalformedHistoryError } from './transactions/malformed.ts'
export type { Anomaly, Conclusion, ExplainedStep, InvolvedOperation, Verdict } from './verdict.ts'
