import type { Anomaly, InvolvedOperation } from '../verdict.ts'
import { cut, escapeText } from './svg-text.ts'

const COLUMN = 300
const BOX = 190
const LINE = 16
const GAP = 46
const MARGIN = 24
const TOP = 54

const COLOURS: Readonly<Record<string, string>> = {
  ww: '#b45309',
  wr: '#1d4ed8',
  rw: '#dc2626',
  so: '#6b7280',
  rt: '#6b7280',
  co: '#7e22ce',
}
const MEANINGS: Readonly<Record<string, string>> = {
  ww: 'ww: replaced the version',
  wr: 'wr: read what was written',
  rw: 'rw: did not see the write',
  so: 'so: earlier in its session',
  rt: 'rt: answered before the other was sent',
  co: 'co: must come first',
}

/**
 * Draws an anomaly as a self-contained SVG: one column per session, time downwards, a box per transaction with its
 * operations, and an arrow per dependency with its key and value. Needs no script, font or style from outside.
 */
export function drawCycle(anomaly: Anomaly): string {
  const cycle = anomaly.cycle ?? []
  const drawn = new Set(cycle.flatMap((step) => [step.from, step.to]))
  const operations = anomaly.operations
  // Of a cycle only its own transactions; of anything else all.
  const order = operations
    .map((_, i) => i)
    .filter((i) => drawn.size === 0 || drawn.has(i))
    .sort(
      (a, b) => timeOf(operations[a] as InvolvedOperation, a) - timeOf(operations[b] as InvolvedOperation, b),
    )
  if (order.length === 0) return ''
  const sessions = [...new Set(order.map((i) => (operations[i] as InvolvedOperation).session))]
  const boxes = new Map<number, { x: number; y: number; height: number }>()
  let y = TOP
  for (const i of order) {
    const op = operations[i] as InvolvedOperation
    const height = 26 + LINE * Math.max(1, op.operations.length)
    boxes.set(i, { x: MARGIN + sessions.indexOf(op.session) * COLUMN, y, height })
    y += height + GAP
  }
  const kinds = [...new Set(cycle.map((s) => s.kind))]
  const width = Math.max(MARGIN * 2 + (sessions.length - 1) * COLUMN + BOX + 130, 420)
  const height = y + kinds.length * LINE + 8

  const parts: string[] = []
  sessions.forEach((session, i) => {
    const x = MARGIN + i * COLUMN + BOX / 2
    parts.push(
      `<text x="${x}" y="24" text-anchor="middle" font-weight="600">session ${escapeText(session)}</text>`,
    )
    parts.push(
      `<line x1="${x}" y1="34" x2="${x}" y2="${y - GAP + 12}" stroke="#d1d5db" stroke-dasharray="2 4"/>`,
    )
  })
  for (const [i, box] of boxes) {
    const op = operations[i] as InvolvedOperation
    const stroke = op.status === 'ok' ? '#111827' : '#9ca3af'
    const dash = op.status === 'info' ? ' stroke-dasharray="5 3"' : ''
    const mark = op.status === 'fail' ? ' (rolled back)' : op.status === 'info' ? ' (no answer)' : ''
    parts.push(
      `<rect x="${box.x}" y="${box.y}" width="${BOX}" height="${box.height}" rx="6" fill="#f9fafb" stroke="${stroke}"${dash}/>`,
    )
    parts.push(
      `<text x="${box.x + 10}" y="${box.y + 17}" font-weight="600">${escapeText(cut(op.name.replace(/^the transaction at /, ''), 20))}${mark}</text>`,
    )
    op.operations.forEach((text, line) => {
      parts.push(
        `<text x="${box.x + 10}" y="${box.y + 34 + line * LINE}" font-family="ui-monospace, monospace">${escapeText(cut(text, 24))}</text>`,
      )
    })
  }
  const labels: string[] = []
  cycle.forEach((step, n) => {
    const from = boxes.get(step.from)
    const to = boxes.get(step.to)
    if (from === undefined || to === undefined) return
    const colour = COLOURS[step.kind] ?? '#111827'
    const { path, x, y: at } = arrow(from, to, n)
    const what =
      step.key === undefined
        ? step.kind
        : `${step.kind} ${step.key}${step.value === undefined ? '' : ` = ${step.value}`}`
    const dash = step.kind === 'rw' ? ' stroke-dasharray="6 3"' : ''
    parts.push(
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.8"${dash} marker-end="url(#arrow-${step.kind})"><title>${escapeText(step.text)}</title></path>`,
    )
    labels.push(
      `<text x="${x}" y="${at}" text-anchor="middle" fill="${colour}" stroke="#fff" stroke-width="4" paint-order="stroke" font-weight="600">${escapeText(cut(what, 24))}</text>`,
    )
  })
  kinds.forEach((kind, i) => {
    labels.push(
      `<text x="${MARGIN}" y="${y + i * LINE}" fill="${COLOURS[kind]}">${escapeText(MEANINGS[kind] ?? kind)}</text>`,
    )
  })
  const markers = kinds
    .map(
      (kind) =>
        `<marker id="arrow-${kind}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0 10 5 0 10z" fill="${COLOURS[kind]}"/></marker>`,
    )
    .join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" role="img" aria-label="${escapeText(anomaly.type)}" font-family="system-ui, sans-serif" font-size="13" style="max-width:100%;height:auto;background:#fff"><title>${escapeText(anomaly.type)}</title><defs>${markers}</defs>${parts.join('')}${labels.join('')}</svg>`
}

interface Box {
  readonly x: number
  readonly y: number
  readonly height: number
}

/** How far along an arrow its label stands: nearer to where it begins, so that arrows back and forth do not share a place. */
const LABEL_AT = 0.34

/** Between columns from side to side; within one column in a bow on the right; apart by `n` where several meet. */
function arrow(from: Box, to: Box, n: number): { path: string; x: number; y: number } {
  const shift = (n % 3) * 12 - 6
  const y1 = from.y + from.height / 2 + shift
  const y2 = to.y + to.height / 2 + shift
  if (from.x === to.x) {
    const bow = 46 + (n % 3) * 22
    const x = from.x + BOX
    return curve([x, y1], [x + bow, y1], [x + bow, y2], [x, y2])
  }
  const right = to.x > from.x
  const x1 = right ? from.x + BOX : from.x
  const x2 = right ? to.x : to.x + BOX
  const middle = (x1 + x2) / 2
  return curve([x1, y1], [middle, y1], [middle, y2], [x2, y2])
}

type Point = readonly [number, number]

function curve(a: Point, b: Point, c: Point, d: Point): { path: string; x: number; y: number } {
  const t = LABEL_AT
  const at = (i: 0 | 1): number =>
    (1 - t) ** 3 * a[i] + 3 * (1 - t) ** 2 * t * b[i] + 3 * (1 - t) * t ** 2 * c[i] + t ** 3 * d[i]
  return {
    path: `M${a.join(' ')} C${b.join(' ')} ${c.join(' ')} ${d.join(' ')}`,
    x: Math.round(at(0)),
    y: Math.round(at(1)),
  }
}

function timeOf(op: InvolvedOperation, index: number): number {
  const place = /(\d+)$/.exec(op.name)?.[1]
  return op.invokedAt ?? op.completedAt ?? (place === undefined ? index : Number(place))
}
