import type { RaceReport } from './explore.ts'
import type { Step } from './task.ts'

/** The report for a terminal: one column per task, the finding, the schedule string, what was covered. */
export function renderReport(report: RaceReport, width = 100): string {
  const { finding } = report
  if (finding === undefined) return `${report.name}: no race found\n  ${coverage(report)}\n`
  const column = Math.max(24, Math.floor((width - 6) / report.tasks.length) - 2)
  const line = (cells: readonly string[], first: string): string =>
    `${first.padStart(4)}  ${cells.map((cell) => cell.padEnd(column)).join('  ')}`.trimEnd()
  const rows = finding.steps.flatMap((step) => {
    const cell = wrap(`${describe(step)}`, column)
    return cell.map((text, at) =>
      line(
        report.tasks.map((task) => (task === step.task ? text : '')),
        at > 0 ? '' : `${finding.responsible.includes(step.number) ? '*' : ''}${step.number}`,
      ),
    )
  })
  return [
    `${report.name}: ${finding.anomaly.toUpperCase()}`,
    `  ${finding.explanation}`,
    '',
    line(report.tasks, ''),
    line(
      report.tasks.map((task) => '-'.repeat(task.length)),
      '',
    ),
    ...rows,
    '',
    ...(finding.deadlock?.map(
      (edge) => `  ${edge.task} waits for ${edge.waitsFor.join(', ')}: ${oneLine(edge.statement)}`,
    ) ?? []),
    ...outcomes(report),
    '',
    `  remedy:   ${finding.remedy}`,
    `  replay:   --replay ${finding.schedule}   (${finding.preemptions} preemption${finding.preemptions === 1 ? '' : 's'})`,
    `  ${coverage(report)}`,
    '',
  ].join('\n')
}

function outcomes({ finding, tasks }: RaceReport): string[] {
  if (finding === undefined) return []
  const all = [
    { title: 'this schedule', outcome: finding.outcome },
    ...finding.serial.map(({ order, outcome }) => ({ title: order.join(', then '), outcome })),
  ]
  // Rows that every outcome has say nothing.
  const sets = all.map(({ outcome }) => new Set(outcome.rows.split('\n')))
  return all.map(({ title, outcome }) => {
    const own = outcome.rows.split('\n').filter((row) => row !== '' && !sets.every((set) => set.has(row)))
    const values = outcome.values.map((value, index) =>
      value === undefined || value === 'undefined' ? '' : `; ${tasks[index]} returned ${value.slice(0, 80)}`,
    )
    const rows = own.length === 0 ? 'no row differs' : own.slice(0, 4).join(', ')
    return `  ${title}: ${rows}${values.join('')}${errors(outcome.errors, tasks)}`
  })
}

function errors(list: readonly (string | undefined)[], tasks: readonly string[]): string {
  return list
    .map((error, index) => (error === undefined ? '' : `; ${tasks[index]} failed (${oneLine(error)})`))
    .join('')
}

function describe(step: Step): string {
  const text = oneLine(
    step.text.replace(/\$(\d+)/g, (all, n) =>
      Number(n) <= step.values.length ? show(step.values[Number(n) - 1]) : all,
    ),
  )
  const waited =
    step.waitedFor === undefined
      ? ''
      : ` [waits for ${step.waitedFor.join(', ') || 'a lock'}${step.wokenAfter === undefined ? '' : ` until step ${step.wokenAfter}`}]`
  const rows = step.result?.rows ?? []
  const answer =
    step.error !== undefined
      ? ` -> ERROR ${step.error}`
      : rows.length > 0
        ? ` -> ${rows.map(show).join(', ')}`
        : ''
  return text + waited + answer
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  return JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? item.toString() : item)) ?? 'null'
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ').flatMap((w) => w.match(new RegExp(`.{1,${width}}`, 'g')) ?? [])) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

function coverage({ coverage: c }: RaceReport): string {
  const extent = c.exhaustive
    ? 'every schedule was run'
    : `every schedule with at most ${c.preemptionBound} preemptions was run, and random ones`
  return `coverage: ${c.schedules} runs (serial orders twice included), ${c.outcomes} outcomes, at most ${c.estimatedSpace} schedules exist, ${c.seconds.toFixed(2)} s; ${extent}`
}
