import type { Anomaly } from '../anomaly.ts'

export type RemedyName =
  | 'row lock'
  | 'immediate transaction'
  | 'version check'
  | 'serializable'
  | 'unique constraint'
  | 'ordered locking'
  | 'retry'

/** What came of exploring the same tasks again with a remedy put in between them and the database. */
export type RemedyResult =
  | {
      readonly remedy: RemedyName
      readonly result: 'removes'
      /** What was changed. */
      readonly how: string
      /** How many were run, serial orders twice included. */
      readonly schedules: number
      /** True when every schedule was. */
      readonly exhaustive: boolean
    }
  | {
      readonly remedy: RemedyName
      readonly result: 'does not remove'
      readonly how: string
      readonly schedules: number
      /** What is still found; undefined where the remedy changes what the tasks do one after the other. */
      readonly anomaly: Anomaly | undefined
      readonly explanation: string
    }
  | { readonly remedy: RemedyName; readonly result: 'not tried'; readonly reason: string }

function stillText({ anomaly, explanation }: Extract<RemedyResult, { result: 'does not remove' }>): string {
  return anomaly === undefined || anomaly === 'error' ? explanation : `${anomaly} still`
}

/** `removes it: 34 runs clean, every schedule among them (FOR UPDATE at step 1)`. */
export function remedyText(tried: RemedyResult): string {
  switch (tried.result) {
    case 'removes':
      return `removes it: ${tried.schedules} runs clean${tried.exhaustive ? ', every schedule among them' : ''} (${tried.how})`
    case 'does not remove':
      return `does not remove it: ${stillText(tried)} (${tried.how})`
    case 'not tried':
      return `not tried: ${tried.reason}`
  }
}
