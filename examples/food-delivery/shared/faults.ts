/** How often what goes wrong. Chances are per message, answer or commit. */
export interface FaultRates {
  /** Mean time between two kills; 0 for none. */
  readonly killEveryMs: number
  readonly duplicate: number
  readonly delay: number
  readonly delayMaxMs: number
  readonly reorder: number
  /** A broker's answer to a publish is lost although the message is stored. */
  readonly loseBrokerAnswer: number
  /** A service's HTTP answer is lost although the work is done. */
  readonly loseHttpAnswer: number
  /** A commit whose answer never comes: half of them happened, half did not. */
  readonly loseCommit: number
  /** With sagas: the process that runs one stops right before it calls another service, and goes on long after. */
  readonly pause: number
}

export const FAULT_LEVELS = {
  none: {
    killEveryMs: 0,
    duplicate: 0,
    delay: 0,
    delayMaxMs: 1,
    reorder: 0,
    loseBrokerAnswer: 0,
    loseHttpAnswer: 0,
    loseCommit: 0,
    pause: 0,
  },
  default: {
    killEveryMs: 1000,
    duplicate: 0.08,
    delay: 0.08,
    delayMaxMs: 150,
    reorder: 0.08,
    loseBrokerAnswer: 0.01,
    loseHttpAnswer: 0.04,
    loseCommit: 0.01,
    pause: 0.002,
  },
  heavy: {
    killEveryMs: 800,
    duplicate: 0.15,
    delay: 0.12,
    delayMaxMs: 250,
    reorder: 0.12,
    loseBrokerAnswer: 0.03,
    loseHttpAnswer: 0.1,
    loseCommit: 0.04,
    pause: 0.015,
  },
} as const satisfies Record<string, FaultRates>

export type FaultLevel = keyof typeof FAULT_LEVELS

/** What a service tells its supervisor about the faults done inside it. */
export interface FaultReport {
  readonly kind: 'duplicate' | 'delay' | 'reorder' | 'lose-answer' | 'http-answer' | 'commit'
  readonly detail: string
}
