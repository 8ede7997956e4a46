export { TwoPhaseAbortedError, TwoPhaseInDoubtError, TwoPhaseSetupError } from './errors.ts'
export type { Decision, DecisionFilter, DecisionRow } from './log.ts'
export type {
  RecoverOptions,
  RecoveryOptions,
  RunOptions,
  TakeOverOptions,
  TwoPhaseOptions,
} from './options.ts'
export type { PendingShare, RecoveryReport, Share } from './recover.ts'
export type { Recovery } from './recovery.ts'
export { twoPhaseTables } from './tables.ts'
export { createTwoPhase, type TransactionsOf, type TwoPhase } from './two-phase.ts'
