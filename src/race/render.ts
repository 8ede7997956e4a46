import { checkArguments, isCount } from '../core/options.ts'
import { oneLine } from '../core/printable.ts'
import { cut } from '../history/report/svg-text.ts'
import { remedyText } from './remedy/remedy.ts'
import type { RaceReport } from './report.ts'
import { isReport } from './report.ts'
import {
  answerText,
  coverageText,
  failingTexts,
  outcomeTexts,
  preemptionsText,
  statementText,
  waitText,
} from './report-text.ts'
import type { Step } from './task.ts'

/** The report for a terminal: one column per task, the finding, the schedule string, what was covered. */
export function renderReport(report: RaceReport, width = 100): string {
  checkArguments('renderReport', isReport(report), isCount('width', width, 1, 10_000))
  const { finding } = report
  const name = oneLine(report.name)
  const notes = failingTexts(report).map((text) => `  note:     ${text}`)
  if (finding === undefined)
    return [`${name}: no race found`, ...notes, `  coverage: ${coverageText(report)}`, ''].join('\n')
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
  const names = report.tasks.map((task) => cut(oneLine(task), column))
  const widest = Math.max(0, ...finding.remedies.map(({ remedy }) => remedy.length))
  return [
    `${name}: ${finding.anomaly.toUpperCase()}`,
    `  ${oneLine(finding.explanation)}`,
    '',
    line(names, ''),
    line(
      names.map((one) => '-'.repeat(one.length)),
      '',
    ),
    ...rows,
    '',
    ...(finding.deadlock?.map(
      ({ task, waitsFor, statement }) =>
        `  ${oneLine(`${task} waits for ${waitsFor.join(', ')}: ${statement}`)}`,
    ) ?? []),
    ...outcomes(report),
    '',
    `  remedy:   ${finding.remedy}`,
    ...finding.remedies.map((tried) => `    ${tried.remedy.padEnd(widest)}  ${oneLine(remedyText(tried))}`),
    `  replay:   --replay ${finding.schedule}   (${preemptionsText(finding.preemptions)})`,
    ...notes,
    `  coverage: ${coverageText(report)}`,
    '',
  ].join('\n')
}

function outcomes(report: RaceReport): string[] {
  return outcomeTexts(report).map(({ title, rows, values, errors }) => {
    const shown = rows.length === 0 ? 'no row differs' : rows.slice(0, 4).join(', ')
    return `  ${oneLine(`${title}: ${[shown, ...values, ...errors].join('; ')}`)}`
  })
}

function describe(step: Step): string {
  const [waited, answer] = [waitText(step), answerText(step)]
  return oneLine(
    `${statementText(step)}${waited === undefined ? '' : ` [${waited}]`}${answer === undefined ? '' : ` -> ${answer}`}`,
  )
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
