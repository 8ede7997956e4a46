import { type Check, show } from '../core/options.ts'
/** What an exploration tells. */
import type { Anomaly } from './anomaly.ts'
import type { Outcome } from './outcome.ts'
import type { PriorityBound } from './priorities.ts'
import type { RaceOptions } from './race.ts'
import type { RemedyResult } from './remedy/remedy.ts'
import type { WaitEdge } from './scheduler.ts'
import type { Step } from './task.ts'

export interface RaceFinding {
  readonly anomaly: Anomaly
  /** One sentence: what differs from every serial order. */
  readonly explanation: string
  /** Replays it: `--replay`. */
  readonly schedule: string
  readonly preemptions: number
  readonly steps: readonly Step[]
  readonly responsible: readonly number[]
  readonly remedy: string
  /** What came of trying remedies on the tasks as they are; empty where none was tried. */
  readonly remedies: readonly RemedyResult[]
  readonly deadlock: readonly WaitEdge[] | undefined
  readonly outcome: Outcome
  readonly serial: readonly { readonly order: readonly string[]; readonly outcome: Outcome }[]
}

export interface RaceReport {
  readonly name: string
  readonly tasks: readonly string[]
  readonly ok: boolean
  readonly finding: RaceFinding | undefined
  /** Tasks that fail in every serial order: what they would do after that was not explored. */
  readonly failing: readonly { readonly task: string; readonly error: string }[]
  readonly coverage: {
    readonly schedules: number
    readonly outcomes: number
    /** The most interleavings that the steps of one run have: blocking leaves fewer, a task that takes other steps when it is refused has more. */
    readonly estimatedSpace: number
    /** True when one schedule was replayed, and no other run beside the serial orders. */
    readonly replayed: boolean
    /** True when every schedule was run. */
    readonly exhaustive: boolean
    /**
     * True when every schedule was run, or one that differs from it only by the order of neighbouring steps that are
     * independent in the database. What tasks share in memory may tell them apart.
     */
    readonly upToEquivalence: boolean
    /** Every schedule with at most so many preemptions was run. */
    readonly preemptionBound: number
    /** What the schedules of random priorities show of races with few ordering constraints, among runs of `prioritySteps`. */
    readonly priorities: readonly PriorityBound[]
    /** The choices of the longest serial run: `priorities` speaks of races within so many. */
    readonly prioritySteps: number
    readonly seconds: number
    readonly blockedP50Ms: number | undefined
  }
}

export function wantsRemedies(
  { finding }: RaceReport,
  { remedies, replay }: Pick<RaceOptions, 'remedies' | 'replay'>,
): boolean {
  return finding !== undefined && remedies === true && replay === undefined
}

export function withRemedies(report: RaceReport, remedies: readonly RemedyResult[]): RaceReport {
  const { finding } = report
  return finding === undefined ? report : { ...report, finding: { ...finding, remedies } }
}

export function isReport(report: unknown): Check {
  const { name, tasks } = (report ?? {}) as Partial<RaceReport>
  return (
    (typeof name === 'string' && Array.isArray(tasks)) ||
    `report must be what explore gave, got ${show(report)}`
  )
}
