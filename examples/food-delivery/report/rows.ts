import type { Anomalies } from '../audit/audit.ts'

/** The anomalies in the order and the words in which people read them. */
export const ANOMALY_ROWS: readonly (readonly [keyof Anomalies, string])[] = [
  ['moneyCreatedOrLost', 'money created or lost (accounts)'],
  ['dishesOversold', 'dishes oversold (portions)'],
  ['stockMiscounted', 'stock miscounted (dishes)'],
  ['chargedTwice', 'orders charged twice'],
  ['outdatedPrice', 'accepted at an outdated price'],
  ['eventsLost', 'events lost'],
  ['halfDone', 'orders half done'],
  ['servicesDisagree', 'orders where services disagree'],
]

export const FAULT_WORDS: Readonly<Record<string, string>> = {
  kill: 'processes killed',
  pause: 'processes stopped and woken',
  duplicate: 'messages duplicated',
  delay: 'messages delayed',
  reorder: 'messages overtaken',
  'lose-answer': "broker's answers lost",
  'http-answer': 'HTTP answers lost',
  commit: 'commits without an answer',
}

export function totalAnomalies(anomalies: Anomalies): number {
  return Object.values(anomalies).reduce((sum: number, count: number) => sum + count, 0)
}
