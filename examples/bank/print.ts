import type { Run } from './run-ways.ts'
import type { Way } from './ways.ts'

/** One table for the runs of one store with one number of processes. */
export function printRuns(runs: readonly Run[], ways: readonly Way[]): string {
  const [first] = runs
  if (first === undefined) return ''
  const head = ['way', 'confirmed', 'in the account', 'lost', 'refused', 'deposits/s', '']
  const rows = runs.map((run) => [
    ways.find((w) => w.name === run.way)?.title ?? run.way,
    String(run.confirmed),
    String(run.balance),
    String(run.lost),
    String(run.refused),
    run.confirmed === 0 ? '-' : String(run.perSecond),
    remark(run),
  ])
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => (row[i] as string).length)))
  const lines = [head, ...rows].map((row) =>
    row
      .map((cell, i) =>
        i === 0 || i === 6 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number),
      )
      .join('  ')
      .trimEnd(),
  )
  const processes = first.processes === 1 ? '1 process' : `${first.processes} processes`
  return `${first.store}, ${processes}, ${first.clients} clients, ${first.deposits} deposits of 1 into one account\n\n${lines.map((l) => `  ${l}\n`).join('')}\n`
}

function remark({ keeps, lost, refusal }: Run): string {
  if (lost > 0) return keeps ? 'MUST NOT HAPPEN' : 'loses'
  if (refusal === undefined) return ''
  return `refused: ${refusal.length > 56 ? `${refusal.slice(0, 55)}…` : refusal}`
}
