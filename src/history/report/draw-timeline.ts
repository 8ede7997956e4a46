import type { Anomaly, InvolvedOperation } from '../verdict.ts'
import { cut, escapeText } from './svg-text.ts'

const ROW = 46
const STEP = 34
const TOP = 16
const LABEL_MAX = 26
const NAME_MAX = 14
const MARGIN = 8
/** Drawings beyond this are shown from their right end, where what has no place is. */
export const WIDE = 700
/** As wide as a bold one of the names of processes, the widest text here. */
const CHARACTER = 6.8

/**
 * Draws the operations of an anomaly as a self-contained SVG: one row per process, time to the right, a bar from the
 * invocation to the answer, open at the right where there was none. Only the order of events counts, not how long
 * they were apart. The operation that the anomaly is about, the first, is red.
 */
export function drawTimeline(anomaly: Anomaly): string {
  const operations = anomaly.operations.filter((o) => o.invokedAt !== undefined)
  if (operations.length === 0) return ''
  const times = new Set<number>()
  for (const o of operations) {
    times.add(o.invokedAt as number)
    if (o.completedAt !== undefined) times.add(o.completedAt)
  }
  const order = [...times].sort((a, b) => a - b)
  const column = new Map(order.map((t, i) => [t, i]))
  const labels = operations.map((o) => cut(o.operations.join('; '), LABEL_MAX))
  // Bars are as wide as their labels: the steps between events give way.
  const widths = new Array<number>(order.length).fill(STEP)
  operations.forEach((o, i) => {
    const from = column.get(o.invokedAt as number) as number
    const to = o.completedAt === undefined ? order.length : (column.get(o.completedAt) as number)
    const need = (labels[i] as string).length * CHARACTER + 14
    let has = 0
    for (let c = from; c < Math.max(to, from + 1); c++) has += widths[c] ?? 0
    if (has < need) {
      const share = (need - has) / Math.max(1, to - from)
      for (let c = from; c < Math.max(to, from + 1); c++) widths[c] = (widths[c] ?? 0) + share
    }
  })
  const processes = [...new Set(operations.map((o) => o.session))].sort((a, b) =>
    a.localeCompare(b, 'en', { numeric: true }),
  )
  const names = processes.map((process) => cut(`process ${process}`, NAME_MAX))
  const namesWidth = Math.max(...names.map((name) => name.length)) * CHARACTER + 10
  const left = MARGIN + namesWidth
  const x: number[] = [left]
  for (const width of widths) x.push((x.at(-1) as number) + width)
  const open = operations.some((o) => o.completedAt === undefined)
  const legend = `time, by the order of events${open ? '; a dashed bar has no answer' : ''}`
  const end = (x.at(-1) as number) + 10
  const wide = end > WIDE
  const right = wide ? end + namesWidth + MARGIN : Math.max(end, MARGIN + legend.length * CHARACTER)
  const height = TOP + processes.length * ROW + 26
  const parts: string[] = []
  names.forEach((name, row) => {
    const y = TOP + row * ROW + ROW / 2
    parts.push(
      `<text x="${MARGIN}" y="${y + 4}" font-weight="600">${escapeText(name)}</text>`,
      ...(wide
        ? [`<text x="${round(end + 10)}" y="${y + 4}" font-weight="600">${escapeText(name)}</text>`]
        : []),
      `<line x1="${round(left)}" y1="${y}" x2="${round(end)}" y2="${y}" stroke="#e5e7eb"/>`,
    )
  })
  operations.forEach((o, i) => {
    const y = TOP + processes.indexOf(o.session) * ROW + 8
    const from = x[column.get(o.invokedAt as number) as number] as number
    const until = o.completedAt === undefined ? end : (x[column.get(o.completedAt) as number] as number)
    parts.push(bar(o, labels[i] as string, from, Math.max(until, from + 8), y, i === 0))
  })
  parts.push(`<text x="${MARGIN}" y="${height - 6}" fill="#6b7280">${legend}</text>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${Math.ceil(right)} ${height}" width="${Math.ceil(right)}" height="${height}" role="img" aria-label="${escapeText(anomaly.type)}" font-family="system-ui, sans-serif" font-size="12" style="background:#fff">${parts.join('')}</svg>`
}

function bar(
  o: InvolvedOperation,
  label: string,
  from: number,
  to: number,
  y: number,
  first: boolean,
): string {
  const open = o.completedAt === undefined
  const [fill, stroke] = first
    ? ['#fee2e2', '#dc2626']
    : open
      ? ['#f9fafb', '#9ca3af']
      : ['#dbeafe', '#3b82f6']
  const dash = open ? ' stroke-dasharray="5 3"' : ''
  return `<g><title>${escapeText(`${o.name}: ${o.operations.join('; ')}`)}</title><rect x="${round(from)}" y="${y}" width="${round(to - from)}" height="30" rx="5" fill="${fill}" stroke="${stroke}"${dash}/><text x="${round(from + 7)}" y="${y + 19}" fill="#111827">${escapeText(label)}</text></g>`
}

function round(n: number): number {
  return Math.round(n * 10) / 10
}
