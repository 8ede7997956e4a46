import { type Check, checkArguments, checkOptions, isObject, isText, show } from '../../core/options.ts'
import type { Anomaly, Verdict } from '../verdict.ts'
import { drawAnomaly } from './draw-anomaly.ts'
import { WIDE } from './draw-timeline.ts'
import { factsList, htmlPage } from './html-page.ts'
import { escapeText } from './svg-text.ts'

const COLOURS = { valid: '#15803d', invalid: '#b91c1c', unknown: '#a16207' } as const
const MEANING = {
  valid: 'Every operation has its place: nothing here contradicts the model.',
  invalid: 'The model does not allow what happened.',
  unknown: 'Neither proved nor disproved.',
} as const
const OPERATIONS_SHOWN_MAX = 64

export interface HtmlReportOptions {
  /** What was checked, such as the name of the file. */
  readonly title: string
}

/** A page about a verdict that needs nothing from outside: no script, font, picture or style. */
export function htmlReport(verdict: Verdict, options: HtmlReportOptions): string {
  checkArguments('htmlReport', isVerdict(verdict), isObject('options', options))
  checkOptions('htmlReport', options, ['title'], [isText('title', options.title)])
  const facts: [string, string][] = [
    ['model', verdict.model],
    ...(verdict.level === undefined ? [] : [['level', verdict.level] as [string, string]]),
    ['operations', verdict.operations.toLocaleString('en')],
    ['time', `${verdict.seconds.toFixed(2)} s`],
    ['anomalies', String(verdict.anomalies.length)],
  ]
  const reason = verdict.reason === undefined ? '' : ` ${escapeText(sentence(verdict.reason))}`
  return htmlPage({
    title: `${verdict.verdict}: ${options.title}`,
    colour: COLOURS[verdict.verdict],
    style: STYLE,
    body: `<h1>${escapeText(options.title)}</h1>
<div class="verdict"><b>${verdict.verdict}</b><div>${MEANING[verdict.verdict]}${reason}</div>
${factsList(facts)}</div>
${verdict.anomalies.map(section).join('\n')}`,
  })
}

const STYLE = `
.drawing { overflow-x: auto; border: 1px solid #e5e7eb; border-radius: .5rem; padding: .25rem; margin-bottom: .75rem }
.drawing svg { display: block }
.wide { direction: rtl } .wide svg { direction: ltr; margin-right: auto }
td:last-child { font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }`

function section(anomaly: Anomaly, index: number): string {
  const svg = drawAnomaly(anomaly)
  const drawing =
    svg === '' ? '' : `<div class="drawing${fromItsEnd(anomaly, svg)}">${unique(svg, index)}</div>`
  const rows = anomaly.operations
    .slice(0, OPERATIONS_SHOWN_MAX)
    .map(
      (o) =>
        `<tr><td>${escapeText(o.name)}</td><td>${escapeText(o.session)}</td><td>${o.status}</td><td>${escapeText(o.operations.join('\n'))}</td></tr>`,
    )
  const table =
    rows.length === 0
      ? ''
      : `<div class="scroll"><table><tr><th>where</th><th>process</th><th>ended</th><th>operations</th></tr>${rows.join('')}</table></div>`
  return `<section><h2>${escapeText(anomaly.type)}</h2><p>${escapeText(anomaly.explanation)}</p>${drawing}${table}</section>`
}

/** The class of a time line that may not fit: its right end is in view first. */
function fromItsEnd({ cycle }: Anomaly, svg: string): string {
  return cycle === undefined && Number(/ width="(\d+)"/.exec(svg)?.[1]) > WIDE ? ' wide' : ''
}

/** Several drawings share a page, so the names inside them must differ. */
function unique(svg: string, index: number): string {
  return svg.replace(/(id="|url\(#)arrow-/g, `$1a${index}-arrow-`)
}

function sentence(text: string): string {
  return `${text[0]?.toUpperCase() ?? ''}${text.slice(1)}.`
}

function isVerdict(verdict: Verdict): Check {
  return Array.isArray(verdict?.anomalies) || `verdict must be what a check gave, got ${show(verdict)}`
}
