export {
  type CheckTransactionsOptions,
  checkHistory,
  type TransactionAnomaly,
  type TransactionVerdict,
} from './check.ts'
export type { ExplainedStep } from './explain.ts'
export { parseText } from './formats/parse-text.ts'
export {
  type BegunTransaction,
  type Definition,
  FAIL,
  INFO,
  NIL,
  NOT_RECORDED,
  OK,
  type TransactionHistory,
  TransactionHistoryBuilder,
} from './history.ts'
export type { Datum } from './intern.ts'
export { LEVELS, type Level } from './levels.ts'
export { MalformedHistoryError } from './malformed.ts'
