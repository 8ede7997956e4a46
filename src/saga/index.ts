export type { AttemptContext } from './attempt.ts'
export { checkUpgrade, type UpgradeProblem, type UpgradeReport } from './check-upgrade.ts'
export type {
  ForwardContext,
  ForwardOptions,
  HttpCall,
  MessageCall,
  ReceiveOptions,
  SagaContext,
  StepOptions,
  Tcc,
  TransactionStepOptions,
  TwoPhaseForwardOptions,
  TwoPhaseStepOptions,
  UndoContext,
} from './context.ts'
export type { Entry, EntryKind, SagaState } from './entry.ts'
export {
  type ErrorRecord,
  PivotPassedError,
  SagaCancelledError,
  SagaChangedError,
  SagaFailedError,
  SagaIdTakenError,
  SagaNotFoundError,
  SagaStateError,
  SagaStuckError,
  StepFailedError,
  StepTimeoutError,
  WaitTimeoutError,
} from './errors.ts'
export { type SagaHandle, sagaHandle } from './handle.ts'
export { deliverReply, MESSAGE_HEADERS, replyToSaga } from './message-step.ts'
export {
  type SagaCounts,
  type SagaDetails,
  type SagaFilter,
  type SagaInfo,
  type SagaOperations,
  sagaOperations,
} from './operations.ts'
export type { RetryPolicy } from './policy.ts'
export type { Recurring } from './recurring.ts'
export { type SagaRunner, type SagaRunnerFigures, sagaRunner } from './runner.ts'
export type { AnySaga, SagaRunnerOptions } from './runner-options.ts'
export { type Saga, type SagaOptions, saga } from './saga.ts'
export type { StartOptions } from './start.ts'
export { sagaTables } from './tables.ts'
