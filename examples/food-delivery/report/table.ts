import type { RunResult } from '../run/run.ts'
import { ANOMALY_ROWS, FAULT_WORDS, totalAnomalies } from './rows.ts'

interface Paint {
  bad(text: string): string
  good(text: string): string
  dim(text: string): string
  strong(text: string): string
}

export function paint(colour: boolean): Paint {
  const wrap = (code: string) => (text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text)
  return { bad: wrap('31'), good: wrap('32'), dim: wrap('2'), strong: wrap('1') }
}

/** The runs side by side, one column each. */
export function comparison(runs: readonly RunResult[], { bad, good, dim, strong }: Paint): string {
  const label = 34
  const width = 14
  const line = (
    name: string,
    cells: readonly string[],
    colours?: readonly ((t: string) => string)[],
  ): string =>
    `  ${name.padEnd(label)}${cells.map((cell, i) => (colours?.[i] ?? String)(cell.padStart(width))).join('')}\n`
  const all = (cell: (run: RunResult) => string): string[] => runs.map(cell)
  const milliseconds = (value: number | null): string => (value === null ? '–' : `${Math.round(value)} ms`)
  let text = `\n${strong(
    line(
      '',
      all((r) => r.name),
    ),
  )}`
  for (const [kind, words] of ANOMALY_ROWS) {
    const colours = runs.map((r) => (r.anomalies[kind] > 0 ? bad : good))
    text += line(
      words,
      all((r) => String(r.anomalies[kind])),
      colours,
    )
  }
  text += '\n'
  text += line(
    'orders ended',
    all((r) => `${r.ended}/${r.orders}`),
  )
  text += line(
    'delivered, cancelled',
    all((r) => `${r.delivered}, ${r.cancelled}`),
  )
  text += line(
    'orders per second',
    all((r) => r.ordersPerSecond.toFixed(1)),
  )
  text += line(
    'order to end, median',
    all((r) => milliseconds(r.p50Ms)),
  )
  text += line(
    'order to end, 99th percentile',
    all((r) => milliseconds(r.p99Ms)),
  )
  const met = Object.entries(FAULT_WORDS).filter(([kind]) => runs.some((r) => (r.faults[kind] ?? 0) > 0))
  if (met.length > 0) text += '\n'
  for (const [kind, words] of met)
    text += dim(
      line(
        words,
        all((r) => String(r.faults[kind] ?? 0)),
      ),
    )
  return text
}

/** What was found, a few sentences of each kind. */
export function findings(run: RunResult, { dim }: Paint): string {
  const lines = run.findings.map(({ text }) => `    ${text}\n`)
  const stuck = run.stuck.map(({ state, count }) => `    ${count} without an end: ${state}\n`)
  if (lines.length + stuck.length === 0) return ''
  return `\n  ${run.name}: for example\n${dim([...shorten(lines, 12), ...stuck.slice(0, 5)].join(''))}`
}

function shorten(lines: readonly string[], most: number): readonly string[] {
  return lines.length <= most ? lines : [...lines.slice(0, most), `    and ${lines.length - most} more\n`]
}

export function verdict(runs: readonly RunResult[], ok: boolean, { good, bad }: Paint): string {
  const holdfast = runs.find((r) => r.mode === 'holdfast')
  const naive = runs.find((r) => r.mode === 'naive')
  const sentences = [
    naive && `naive: ${count(totalAnomalies(naive.anomalies))}.`,
    holdfast &&
      `${holdfast.name}: ${count(totalAnomalies(holdfast.anomalies))}, ${
        holdfast.everythingEnded ? 'every order reached an end' : 'not every order reached an end'
      }.`,
    !ok &&
      runs.length === 2 &&
      naive !== undefined &&
      totalAnomalies(naive.anomalies) === 0 &&
      'The faults met nothing that the naive version gets wrong: take more orders, or another seed.',
  ].filter((s) => typeof s === 'string')
  return `\n  ${(ok ? good : bad)(sentences.join(' '))}\n`
}

function count(anomalies: number): string {
  return anomalies === 0 ? 'no anomaly' : anomalies === 1 ? '1 anomaly' : `${anomalies} anomalies`
}
