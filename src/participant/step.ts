import { type Check, isName, isToken, show } from '../core/options.ts'

/** `do` and `undo` of an ordinary step; `try`, then `confirm` or `cancel`, of one that reserves first. */
export type StepPhase = 'do' | 'undo' | 'try' | 'confirm' | 'cancel'

export const STEP_PHASES: readonly StepPhase[] = ['do', 'undo', 'try', 'confirm', 'cancel']

/** Names one call of one step: the same four values again are a repetition. */
export interface StepCall {
  /** The saga's id, unique among all callers of the participant. At most 500 characters. */
  readonly saga: string
  /** The step's name, unique within the saga. At most 150 characters. */
  readonly step: string
  readonly phase: StepPhase
  /** The attempt's epoch, from the lease under which the saga runs. Never smaller for a later attempt. */
  readonly epoch: bigint
}

export const SAGA_MAX = 500
export const STEP_MAX = 150

export function stepChecks({ saga, step, phase, epoch }: StepCall): Check[] {
  return [
    isName('saga', saga, SAGA_MAX),
    isName('step', step, STEP_MAX),
    STEP_PHASES.includes(phase) || `phase must be one of ${STEP_PHASES.join(', ')}, got ${show(phase)}`,
    isToken('epoch', epoch),
  ]
}

/** The phase whose effect a phase takes back or completes; a forward phase is its own. */
export function forwardOf(phase: StepPhase): 'do' | 'try' {
  return phase === 'do' || phase === 'undo' ? 'do' : 'try'
}

export function isForward(phase: StepPhase): phase is 'do' | 'try' {
  return phase === 'do' || phase === 'try'
}

/** How a call is named in errors. */
export function nameOf({ saga, step, phase }: StepCall): string {
  return `${phase} of step "${step}" of saga "${saga}"`
}
