import { checkArguments, checkOptions, isList, isObject, isText } from '../core/options.ts'
import { oneLine } from '../core/printable.ts'
import { factsList, htmlPage } from '../history/report/html-page.ts'
import { escapeText } from '../history/report/svg-text.ts'
import { remedyText } from './remedy/remedy.ts'
import type { RaceFinding, RaceReport } from './report.ts'
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

export interface RaceHtmlOptions {
  /** What was explored, such as the name of the file. */
  readonly title: string
}

/**
 * The reports of one file as a page: one column per task, time downwards, waits as long as they lasted, the steps that make
 * the race marked, and beside each other what this schedule and what the serial orders left.
 */
export function raceHtml(reports: readonly RaceReport[], options: RaceHtmlOptions): string {
  checkArguments('raceHtml', isList('reports', reports), isObject('options', options))
  const { title } = options
  checkOptions('raceHtml', options, ['title'], [isText('title', title), ...reports.map(isReport)])
  const found = reports.filter(({ finding }) => finding !== undefined)
  const [word, meaning] =
    found.length > 0
      ? ['race found', 'Some interleaving ends as no serial order does.']
      : ['no race found', 'Every interleaving that was run ends as a serial order does.']
  return htmlPage({
    title: `${word}: ${title}`,
    colour: found.length > 0 ? '#b91c1c' : '#15803d',
    style: STYLE,
    body: `<h1>${escapeText(title)}</h1>
<div class="verdict"><b>${word}</b><div>${meaning}</div>
${factsList([
  ['races', String(reports.length)],
  ['found', String(found.length)],
  ['schedules', reports.reduce((n, { coverage }) => n + coverage.schedules, 0).toLocaleString('en')],
  ['time', `${reports.reduce((n, { coverage }) => n + coverage.seconds, 0).toFixed(2)} s`],
])}</div>
${reports.map(section).join('\n')}`,
  })
}

function section(report: RaceReport): string {
  const { finding, name } = report
  if (finding === undefined)
    return `<section><h2>${escapeText(name)}: no race found</h2>${notes(report)}<p>${escapeText(coverageText(report))}</p></section>`
  return `<section><h2>${escapeText(name)}: ${escapeText(finding.anomaly)}</h2>
<p>${escapeText(finding.explanation)}.</p>
<div class="scroll"><table class="steps" style="--tasks: ${report.tasks.length}"><tr><th></th>${report.tasks.map((task) => `<th>${escapeText(task)}</th>`).join('')}</tr>
${lanes(report.tasks, finding)}</table></div>
${deadlock(finding)}<p><b>Remedy:</b> ${escapeText(finding.remedy)}.</p>
${remedies(finding)}<div class="scroll">${outcomes(report)}</div>
${notes(report)}<p>Replay: <code>--replay ${finding.schedule}</code> (${preemptionsText(finding.preemptions)}). ${escapeText(coverageText(report))}.</p></section>`
}

function notes(report: RaceReport): string {
  return failingTexts(report)
    .map((text) => `<p><b>Note:</b> ${escapeText(text)}.</p>\n`)
    .join('')
}

/** A row per step. A step that waits reaches down to the one that let it go on, where its task did nothing else meanwhile. */
function lanes(tasks: readonly string[], finding: RaceFinding): string {
  const { steps } = finding
  const coveredUntil = new Map<string, number>()
  return steps
    .map((step) => {
      const cells = tasks.map((task) => {
        if (task !== step.task) return step.number <= (coveredUntil.get(task) ?? 0) ? '' : '<td></td>'
        const until = waitEnd(step, steps)
        if (until > step.number) coveredUntil.set(task, until)
        return cellOf(step, until - step.number + 1, finding.responsible.includes(step.number))
      })
      return `<tr><th>${step.number}</th>${cells.join('')}</tr>`
    })
    .join('\n')
}

function waitEnd(step: Step, steps: readonly Step[]): number {
  if (step.waitedFor === undefined) return step.number
  const next = steps.find((other) => other.task === step.task && other.number > step.number)
  return Math.min(
    step.wokenAfter ?? steps.length,
    (next?.number ?? Number.POSITIVE_INFINITY) - 1,
    steps.length,
  )
}

function cellOf(step: Step, rows: number, responsible: boolean): string {
  const kinds = [
    'step',
    ...(responsible ? ['responsible'] : []),
    ...(step.waitedFor === undefined ? [] : ['waits']),
    ...(step.error === undefined ? [] : ['failed']),
  ]
  const [wait, answer] = [waitText(step), answerText(step)]
  const lines = [
    `<code>${escapeText(statementText(step))}</code>`,
    ...(wait === undefined ? [] : [`<span class="wait">${escapeText(wait)}</span>`]),
    ...(answer === undefined ? [] : [`<span class="answer">${escapeText(answer)}</span>`]),
  ]
  return `<td class="${kinds.join(' ')}"${rows > 1 ? ` rowspan="${rows}"` : ''}>${lines.join('')}</td>`
}

function deadlock({ deadlock }: RaceFinding): string {
  if (deadlock === undefined) return ''
  const edges = deadlock.map(
    ({ task, waitsFor, statement }) =>
      `<li>${escapeText(task)} waits for ${escapeText(waitsFor.join(', '))}: <code>${escapeText(oneLine(statement))}</code></li>`,
  )
  return `<ul>${edges.join('')}</ul>`
}

function remedies({ remedies }: RaceFinding): string {
  if (remedies.length === 0) return ''
  const rows = remedies.map(
    (tried) =>
      `<tr class="${MARKS[tried.result]}"><th>${tried.remedy}</th><td>${escapeText(remedyText(tried))}</td></tr>`,
  )
  return `<div class="scroll"><table class="remedies">${rows.join('')}</table></div>\n`
}

const MARKS = { removes: 'good', 'does not remove': 'bad', 'not tried': 'open' } as const

/** What this schedule and the serial orders left; columns in which nothing stands are left out. */
function outcomes(report: RaceReport): string {
  const texts = outcomeTexts(report)
  const columns = (
    [
      ['rows that differ', 'rows'],
      ['returned', 'values'],
      ['failed', 'errors'],
    ] as const
  ).filter(([, part]) => part === 'rows' || texts.some((text) => text[part].length > 0))
  const rows = texts.map((text, at) => {
    const cells = columns.map(
      ([title, part]) =>
        `<td data-title="${title}"${part === 'rows' ? ' class="data"' : ''}>${text[part].map(escapeText).join('<br>') || 'none'}</td>`,
    )
    return `<tr${at === 0 ? ' class="found"' : ''}><th>${escapeText(text.title)}</th>${cells.join('')}</tr>`
  })
  const head = columns.map(([title]) => `<th>${title}</th>`).join('')
  return `<table class="outcomes"><tr><th></th>${head}</tr>\n${rows.join('\n')}</table>`
}

const STYLE = `
code, .data { font: .85rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
.steps { width: 100%; table-layout: fixed; border-collapse: separate; border-spacing: .5rem .15rem; margin: 0 -.5rem }
.steps th:first-child { width: 1.5rem; text-align: right }
.steps th, .steps td { border: 0; padding: .2rem .5rem }
.step { background: #f3f4f6; border-radius: .35rem; border-left: .3rem solid #d1d5db !important }
.step span { display: block; font-size: .85rem }
.answer { color: #1d4ed8; overflow-wrap: anywhere }
.wait { color: #a16207 }
.waits { background: repeating-linear-gradient(-45deg, #fef9c3 0 8px, #fefce8 8px 16px); border-left-color: #eab308 !important }
.responsible { border-left-color: #b91c1c !important; background: #fef2f2 }
.responsible.waits { background: repeating-linear-gradient(-45deg, #fef9c3 0 8px, #fef2f2 8px 16px) }
.failed .answer { color: #b91c1c; font-weight: 600 }
.outcomes .data { min-width: 18rem }
.outcomes th:first-child { white-space: nowrap; padding-right: 1.5rem }
.remedies { margin-bottom: 1rem }
.remedies th { white-space: nowrap; padding-right: 1.5rem }
.remedies .good th { color: #15803d } .remedies .bad th { color: #b91c1c } .remedies .open { color: #6b7280 }
.found th, .found td { background: #fef2f2; color: #b91c1c }
@media (max-width: 40rem) {
  .steps { min-width: calc(var(--tasks) * 10.5rem) }
  .outcomes, .outcomes tbody, .outcomes tr, .outcomes th, .outcomes td { display: block }
  .outcomes td::before { content: attr(data-title) ": " }
  .outcomes tr:first-child { display: none }
  .outcomes .data { min-width: 0 }
}`
