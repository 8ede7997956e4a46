import type { Anomaly, Verdict } from '../verdict.ts'
import { drawAnomaly } from './draw-anomaly.ts'
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
  const colour = COLOURS[verdict.verdict]
  const facts = [
    ['model', verdict.model],
    ...(verdict.level === undefined ? [] : [['level', verdict.level]]),
    ['operations', verdict.operations.toLocaleString('en')],
    ['time', `${verdict.seconds.toFixed(2)} s`],
    ['anomalies', String(verdict.anomalies.length)],
  ]
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(verdict.verdict)}: ${escapeText(options.title)}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem; color: #111827; background: #fff }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; margin: 0 0 .5rem }
.verdict { border-left: .5rem solid ${colour}; padding: .5rem 1rem; background: #f9fafb; margin-bottom: 1rem }
.verdict b { color: ${colour}; font-size: 1.3rem }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: .5rem 0 0 }
dt { color: #6b7280; font-size: .85rem } dd { margin: 0; font-weight: 600 }
section { border-top: 1px solid #e5e7eb; padding: 1rem 0 }
h2 { font-size: 1.1rem; margin: 0 0 .25rem }
p { margin: .25rem 0 .75rem; overflow-wrap: anywhere; max-width: 60rem }
.drawing { overflow-x: auto; border: 1px solid #e5e7eb; border-radius: .5rem; padding: .25rem; margin-bottom: .75rem }
.drawing svg { display: block }
/* What has no place is at the right end, and so in view. */
.timeline { direction: rtl } .timeline svg { direction: ltr }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #f3f4f6; vertical-align: top }
th { color: #6b7280; font-weight: 500 }
td:last-child { font-family: ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere }
</style>
<h1>${escapeText(options.title)}</h1>
<div class="verdict"><b>${verdict.verdict}</b><div>${MEANING[verdict.verdict]}${verdict.reason === undefined ? '' : ` ${escapeText(sentence(verdict.reason))}`}</div>
<dl>${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${escapeText(value as string)}</dd></div>`).join('')}</dl></div>
${verdict.anomalies.map(section).join('\n')}
</html>
`
}

function section(anomaly: Anomaly, index: number): string {
  const cycle = anomaly.cycle !== undefined
  const svg = drawAnomaly(anomaly)
  const drawing =
    svg === '' ? '' : `<div class="drawing${cycle ? '' : ' timeline'}">${unique(svg, index)}</div>`
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

/** Several drawings share a page, so the names inside them must differ. */
function unique(svg: string, index: number): string {
  return svg.replace(/(id="|url\(#)arrow-/g, `$1a${index}-arrow-`)
}

function sentence(text: string): string {
  return `${text[0]?.toUpperCase() ?? ''}${text.slice(1)}.`
}
