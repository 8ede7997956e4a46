import { writeFileSync } from 'node:fs'
import type { RunResult } from '../run/run.ts'
import type { TimelineEvent } from '../run/timeline.ts'
import { SERVICES } from '../shared/domain.ts'
import { ANOMALY_ROWS, FAULT_WORDS, totalAnomalies } from './rows.ts'

export interface PageContext {
  readonly ok: boolean
  readonly orders: number
  readonly seed: number
  readonly faults: string
}

/** Writes the comparison as one page that needs nothing else: no script, no font, no network. */
export function writePage(path: string, runs: readonly RunResult[], context: PageContext): void {
  writeFileSync(path, page(runs, context))
}

function page(runs: readonly RunResult[], { ok, orders, seed, faults }: PageContext): string {
  const longestMs = Math.max(...runs.map((r) => r.durationMs))
  const scale = { longestMs, endedMost: Math.max(1, ...runs.flatMap((r) => endedPerBucket(r, longestMs))) }
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Food delivery under faults</title>
<style>${STYLE}</style>
<main>
<header>
<h1>Food delivery under faults</h1>
<p>${orders} orders through four services, each its own process with its own database. Faults: ${html(faults)}. Seed ${seed}.</p>
</header>
<section class="cards">${runs.map(card).join('')}</section>
<section><h2>What the audit found</h2>${table(runs)}</section>
${runs.map((r) => `<section><h2>${html(r.name)}: faults and finished orders</h2>${chart(r, scale)}</section>`).join('\n')}
<section class="legend" aria-label="Legend">${legend()}</section>
${runs.map(details).join('\n')}
<footer>${ok ? 'The run with Holdfast met every rule.' : 'Not as promised: see the table.'}</footer>
</main>
</html>
`
}

function card(run: RunResult): string {
  const total = totalAnomalies(run.anomalies)
  const good = total === 0 && run.everythingEnded
  return `<article class="card ${good ? 'good' : 'bad'}">
<h3>${html(run.name)}</h3>
<p class="big">${total}</p>
<p>${total === 1 ? 'anomaly' : 'anomalies'}; ${run.ended} of ${run.orders} orders reached an end</p>
<p class="small">${run.kills} kills · ${run.ordersPerSecond.toFixed(1)} orders/s · median ${ms(run.p50Ms)} · 99th percentile ${ms(run.p99Ms)}</p>
</article>`
}

function table(runs: readonly RunResult[]): string {
  const head = `<tr><th scope="col"></th>${runs.map((r) => `<th scope="col">${html(r.name)}</th>`).join('')}</tr>`
  const row = (name: string, cells: readonly string[], classes: readonly string[] = []): string =>
    `<tr><th scope="row">${html(name)}</th>${cells.map((c, i) => `<td class="${classes[i] ?? ''}">${c}</td>`).join('')}</tr>`
  const all = (cell: (run: RunResult) => string): string[] => runs.map(cell)
  const anomalies = ANOMALY_ROWS.map(([kind, words]) =>
    row(
      words,
      all((r) => String(r.anomalies[kind])),
      runs.map((r) => (r.anomalies[kind] > 0 ? 'bad' : 'good')),
    ),
  )
  const faults = Object.entries(FAULT_WORDS).map(([kind, words]) =>
    row(
      words,
      all((r) => String(r.faults[kind] ?? 0)),
    ),
  )
  return `<div class="scroll"><table>
<thead>${head}</thead>
<tbody>${anomalies.join('')}</tbody>
<tbody>${row(
    'orders ended',
    all((r) => `${r.ended} of ${r.orders}`),
  )}${row(
    'delivered / cancelled',
    all((r) => `${r.delivered} / ${r.cancelled}`),
  )}${row(
    'orders per second',
    all((r) => r.ordersPerSecond.toFixed(1)),
  )}${row(
    'order to end, median',
    all((r) => ms(r.p50Ms)),
  )}${row(
    'order to end, 99th percentile',
    all((r) => ms(r.p99Ms)),
  )}</tbody>
<tbody class="faults">${faults.join('')}</tbody>
</table></div>`
}

// The chart: one lane per service with its kills, one per kind of fault, and the orders that ended.

const LEFT = 150
const WIDTH = 1000
const LANE = 26
const AREA = 90
const BUCKET_MS = 250
const LANES: readonly (readonly [TimelineEvent['kind'], string])[] = [
  ['duplicate', 'duplicated'],
  ['delay', 'delayed'],
  ['reorder', 'overtaken'],
  ['http-answer', 'HTTP answer lost'],
  ['lose-answer', 'broker answer lost'],
  ['commit', 'commit unknown'],
]

/** The same for all runs of a page, so that their charts can be compared by eye. */
interface Scale {
  readonly longestMs: number
  readonly endedMost: number
}

function chart(run: RunResult, { longestMs, endedMost }: Scale): string {
  const x = (atMs: number): number => LEFT + (Math.min(atMs, longestMs) / longestMs) * (WIDTH - LEFT - 10)
  const lanesTop = AREA + 24
  const parts: string[] = [throughput(run, { longestMs, endedMost }, x)]
  SERVICES.forEach((service, lane) => {
    const y = lanesTop + lane * LANE
    parts.push(laneLine(service, y, x(run.durationMs)))
    const events = run.timeline.filter((e) => e.service === service)
    for (const kill of events.filter((e) => e.kind === 'kill')) {
      const up = events.find((e) => e.kind === 'up' && e.atMs >= kill.atMs)
      const endX = x(up?.atMs ?? run.durationMs)
      const title = `${service} killed at ${seconds(kill.atMs)}, back at ${up ? seconds(up.atMs) : 'the end'}`
      parts.push(
        `<rect class="down" x="${f(x(kill.atMs))}" y="${y - 7}" width="${f(Math.max(3, endX - x(kill.atMs)))}" height="14" rx="2"><title>${title}</title></rect>`,
      )
    }
  })
  LANES.forEach(([kind, words], i) => {
    const y = lanesTop + (SERVICES.length + i) * LANE
    parts.push(laneLine(words, y, x(run.durationMs)))
    const marks = run.timeline
      .filter((e) => e.kind === kind)
      .map((e) => `M${f(x(e.atMs))} ${y - 6}v12`)
      .join('')
    if (marks !== '') parts.push(`<path class="mark ${kind}" d="${marks}"/>`)
  })
  const bottom = lanesTop + (SERVICES.length + LANES.length) * LANE
  parts.push(axis(longestMs, x, bottom))
  return `<div class="scroll"><svg viewBox="0 0 ${WIDTH} ${bottom + 22}" role="img" aria-label="Faults and finished orders of the ${html(run.name)} run over time">${parts.join('')}</svg></div>`
}

function endedPerBucket(run: RunResult, longestMs: number): number[] {
  const buckets = new Array<number>(Math.ceil(longestMs / BUCKET_MS) + 1).fill(0)
  for (const atMs of run.endsMs) {
    const bucket = Math.floor(atMs / BUCKET_MS)
    if (bucket < buckets.length) buckets[bucket] = (buckets[bucket] ?? 0) + 1
  }
  return buckets
}

function throughput(run: RunResult, { longestMs, endedMost }: Scale, x: (atMs: number) => number): string {
  const buckets = endedPerBucket(run, longestMs)
  const perSecond = (endedMost * 1000) / BUCKET_MS
  const bars = buckets
    .map((count, i) => {
      if (count === 0) return ''
      const height = (count / endedMost) * (AREA - 14)
      const from = x(i * BUCKET_MS)
      return `<rect class="ended" x="${f(from)}" y="${f(AREA - height)}" width="${f(Math.max(1, x((i + 1) * BUCKET_MS) - from - 1))}" height="${f(height)}"><title>${count} orders ended from ${seconds(i * BUCKET_MS)}</title></rect>`
    })
    .join('')
  return `<text class="label" x="${LEFT - 10}" y="${AREA - 4}">orders ended</text><text class="label dim" x="${LEFT - 10}" y="20">${Math.round(perSecond)}/s</text>${bars}<path class="base" d="M${LEFT} ${AREA}H${WIDTH - 10}"/>`
}

function laneLine(name: string, y: number, endX: number): string {
  return `<text class="label" x="${LEFT - 10}" y="${y + 4}">${html(name)}</text><path class="lane" d="M${LEFT} ${y}H${f(endX)}"/>`
}

function axis(longestMs: number, x: (atMs: number) => number, y: number): string {
  const stepS = [1, 2, 5, 10, 20, 60, 120].find((s) => longestMs / 1000 / s <= 12) ?? 300
  let text = ''
  for (let s = 0; s * 1000 <= longestMs; s += stepS) {
    text += `<path class="tick" d="M${f(x(s * 1000))} ${AREA}V${y - 10}"/><text class="time" x="${f(x(s * 1000))}" y="${y + 10}">${s} s</text>`
  }
  return text
}

function legend(): string {
  return '<span><i class="down"></i>service killed, until it is back</span><span><i class="mark"></i>a fault</span><span><i class="ended"></i>orders that reached their end, per quarter of a second</span>'
}

function details(run: RunResult): string {
  const groups = ANOMALY_ROWS.flatMap(([kind, words]) => {
    const texts = run.findings.filter((f) => f.kind === kind).map((f) => f.text)
    const more = run.anomalies[kind] - texts.length
    return texts.length === 0 ? [] : [group(words, texts, kind === 'dishesOversold' ? 0 : more)]
  })
  const stuck = run.stuck.map(({ state, count }) => `${count} ${state}`)
  if (stuck.length > 0) groups.push(group('without an end', stuck, 0))
  if (groups.length === 0) return ''
  return `<section><h2>${html(run.name)}: for example</h2><div class="groups">${groups.join('')}</div></section>`
}

function group(title: string, texts: readonly string[], more: number): string {
  const items = texts.map((text) => `<li>${html(text)}</li>`).join('')
  return `<div><h3>${html(title)}</h3><ul>${items}${more > 0 ? `<li class="more">and ${more} more</li>` : ''}</ul></div>`
}

function ms(value: number | null): string {
  return value === null ? '–' : `${Math.round(value)} ms`
}

function seconds(atMs: number): string {
  return `${(atMs / 1000).toFixed(1)} s`
}

function f(value: number): string {
  return value.toFixed(1)
}

function html(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c)
}

const STYLE = `
:root{color-scheme:light dark;--ink:#1c2330;--dim:#667085;--paper:#fff;--panel:#f5f7fa;--line:#d9dee7;--good:#0a7d4b;--bad:#c02b30;--ended:#3d7be0;--mark:#8a5bd6}
@media (max-width:600px){th[scope=row]{white-space:normal}th,td{padding:5px 6px}}
@media (prefers-color-scheme:dark){:root{--ink:#e7ebf2;--dim:#98a2b3;--paper:#11151c;--panel:#1a202b;--line:#2d3644;--good:#4cc38a;--bad:#ff7a7d;--ended:#6ea3ff;--mark:#b795f5}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:30px;line-height:1.2;margin:0 0 4px}
h2{font-size:18px;margin:36px 0 10px}
h3{font-size:15px;margin:0;color:var(--dim);font-weight:600}
header p{margin:0;color:var(--dim)}
.cards{display:flex;flex-wrap:wrap;gap:16px;margin-top:24px}
.card{flex:1 1 300px;background:var(--panel);border:1px solid var(--line);border-left:5px solid var(--good);border-radius:8px;padding:16px 20px}
.card.bad{border-left-color:var(--bad)}
.card p{margin:0}
.big{font-size:44px;line-height:1.2;font-weight:700;color:var(--good)}
.bad .big{color:var(--bad)}
.small{color:var(--dim);font-size:14px;margin-top:6px!important}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 12px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th[scope=row]{text-align:left;font-weight:400}
thead th{font-weight:600}
tbody+tbody tr:first-child>*{padding-top:18px}
td.bad{color:var(--bad);font-weight:700}
td.good{color:var(--good)}
.faults{color:var(--dim)}
svg{display:block;width:100%;min-width:760px;height:auto}
.label{fill:var(--ink);font-size:13px;text-anchor:end}
.dim,.time{fill:var(--dim)}
.time{font-size:12px;text-anchor:middle}
.lane,.base{stroke:var(--line);fill:none}
.tick{stroke:var(--line);stroke-dasharray:2 4;fill:none}
.ended{fill:var(--ended);background:var(--ended)}
.down{fill:var(--bad);background:var(--bad)}
.mark{stroke:var(--mark);stroke-width:1.4;fill:none;background:var(--mark)}
.legend{display:flex;flex-wrap:wrap;gap:6px 24px;margin-top:14px;color:var(--dim);font-size:14px}
.legend i{display:inline-block;width:14px;height:12px;border-radius:2px;margin-right:7px;vertical-align:-1px}
.legend i.mark{width:3px}
.groups{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:18px 32px}
ul{margin:4px 0 0;padding-left:18px;font-size:14px}
li{margin:2px 0;overflow-wrap:anywhere}
.more{color:var(--dim)}
footer{margin-top:36px;color:var(--dim)}
`
