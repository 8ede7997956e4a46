/** What a report says in words, for a terminal and for a page. */
import { oneLine } from '../core/printable.ts'
import type { RaceReport } from './report.ts'
import type { Step } from './task.ts'
import { valueText } from './value-text.ts'

/** The statement in one line, with its values in it and what went out with it around it. */
export function statementText(step: Step): string {
  const text = step.text.replace(/\$(\d+)/g, (all, n) =>
    Number(n) <= step.values.length ? valueText(step.values[Number(n) - 1]) : all,
  )
  return oneLine([step.with?.before, text, step.with?.after].filter((part) => part !== undefined).join('; '))
}

/** What the database answered: rows, or an error; undefined where it says nothing of interest. */
export function answerText(step: Step): string | undefined {
  if (step.error !== undefined) return `ERROR ${step.error}`
  const rows = step.result?.rows ?? []
  return rows.length > 0 ? rows.map(valueText).join(', ') : undefined
}

/** `waits for bob until step 7`; undefined where it did not wait. */
export function waitText(step: Step): string | undefined {
  if (step.waitedFor === undefined) return undefined
  const until = step.wokenAfter === undefined ? '' : ` until step ${step.wokenAfter}`
  return `waits for ${step.waitedFor.join(', ') || 'a lock'}${until}`
}

/** One outcome, told by what the others do not share. */
export interface OutcomeText {
  /** `this schedule`, or the serial order. */
  readonly title: string
  readonly rows: readonly string[]
  /** `bob returned 20`. */
  readonly values: readonly string[]
  /** `bob failed (…)`. */
  readonly errors: readonly string[]
}

/** The outcome that was found, then those of the serial orders. Rows that all of them have as often are left out. */
export function outcomeTexts({ finding, tasks }: RaceReport): OutcomeText[] {
  if (finding === undefined) return []
  const all = [
    { title: 'this schedule', outcome: finding.outcome },
    ...finding.serial.map(({ order, outcome }) => ({ title: order.join(', then '), outcome })),
  ]
  const counts = all.map(({ outcome }) => countOf(outcome.rows.split('\n').filter((row) => row !== '')))
  const differs = (row: string): boolean => counts.some((count) => count.get(row) !== counts[0]?.get(row))
  return all.map(({ title, outcome }, at) => ({
    title,
    rows: [...(counts[at] ?? [])]
      .filter(([row]) => differs(row))
      .map(([row, count]) => (count === 1 ? row : `${count} × ${row}`)),
    values: outcome.values.flatMap((value, index) =>
      value === undefined || value === 'undefined' ? [] : [`${tasks[index]} returned ${value.slice(0, 80)}`],
    ),
    errors: outcome.errors.flatMap((error, index) =>
      error === undefined ? [] : [`${tasks[index]} failed (${oneLine(error)})`],
    ),
  }))
}

/** How often each row is there: two equal rows are not one. */
function countOf(rows: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const row of rows) counts.set(row, (counts.get(row) ?? 0) + 1)
  return counts
}

/** What a reader has to know also where nothing was found. */
export function failingTexts({ failing }: RaceReport): string[] {
  return failing.map(({ task, error }) =>
    oneLine(`${task} fails in every serial order (${error}), so what it does after that was not explored`),
  )
}

export function preemptionsText(count: number): string {
  return counted(count, 'preemption')
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

export function coverageText({ coverage: c }: RaceReport): string {
  const extent = c.replayed
    ? 'a replay, so no other schedule was run'
    : c.exhaustive
      ? 'every schedule was run'
      : c.upToEquivalence
        ? 'every schedule was run, or one that differs only by the order of statements that are independent in the database'
        : `every schedule with at most ${preemptionsText(c.preemptionBound)} was run, and random ones${missed(c)}`
  return `${c.schedules} runs (serial orders twice included), ${counted(c.outcomes, 'outcome')}, an estimated ${counted(c.estimatedSpace, 'schedule')} in all, ${c.seconds.toFixed(2)} s; ${extent}`
}

/** What random priorities say of the rest; nothing where the bound is so weak that it says nothing. */
function missed({ priorities, prioritySteps }: RaceReport['coverage']): string {
  const said = priorities
    .filter(({ missedAtMost }) => missedAtMost < 0.5)
    .map(({ depth, missedAtMost }) => `depth ${depth} with probability ${missedAtMost.toPrecision(2)}`)
  return said.length === 0
    ? ''
    : `; among runs of ${prioritySteps} steps they miss a race of ${said.join(', of ')} at most`
}
