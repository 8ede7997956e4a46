/** `holdfast demo --flow replicas`: one set of records at three sites, which are killed and cut off. */
import type { Io } from '../main.ts'
import { paint } from '../report/table.ts'
import { ANOMALIES } from './audit.ts'
import { HELP, readReplicasOptions } from './options.ts'
import { type RunResult, run } from './run.ts'

export async function main(argv: readonly string[], io: Io, signal: AbortSignal): Promise<number> {
  const options = readReplicasOptions(argv)
  if (options.help) {
    io.out(HELP)
    return 0
  }
  const { orders, seed, faults, only, without, json } = options
  if (!json) {
    io.out(
      `${orders} operations at three sites, each its own process and store; faults: ${faults}; seed ${seed}\n`,
    )
  }
  const results: RunResult[] = []
  for (const mode of ['naive', 'holdfast'] as const) {
    if (only !== undefined && only !== mode) continue
    const missing = mode === 'holdfast' ? without : undefined
    results.push(await run({ mode, without: missing, orders, seed, faults, signal }))
  }
  const ok = judge(results, faults !== 'none')
  if (json) io.out(`${JSON.stringify({ flow: 'replicas', runs: results.map(toJson), ok })}\n`)
  else io.out(report(results, ok, io.colour))
  return ok ? 0 : 1
}

function total({ anomalies }: RunResult): number {
  return Object.values(anomalies).reduce((a, b) => a + b, 0)
}

/** Holdfast must be without a flaw; under faults, the naive run must show that there was something to prevent. */
function judge(results: readonly RunResult[], faults: boolean): boolean {
  return results.every((result) =>
    result.mode === 'naive'
      ? !faults || results.length === 1 || total(result) > 0
      : total(result) === 0 && result.settledMs !== null,
  )
}

function toJson(result: RunResult): object {
  return { ...result, findings: result.findings.slice(0, 20) }
}

function report(results: readonly RunResult[], ok: boolean, colour: boolean): string {
  const { bad, good, dim, strong } = paint(colour)
  const line = (name: string, cells: readonly string[]): string =>
    `  ${name.padEnd(42)}${cells.map((cell) => cell.padStart(18)).join('')}\n`
  let text = `\n${strong(
    line(
      '',
      results.map(({ mode }) => mode),
    ),
  )}`
  for (const [kind, words] of ANOMALIES) {
    const cells = results.map(({ anomalies }) => anomalies[kind])
    text += `  ${words.padEnd(42)}${cells.map((n) => (n > 0 ? bad : good)(String(n).padStart(18))).join('')}\n`
  }
  text += '\n'
  const figures: readonly (readonly [string, (result: RunResult) => string])[] = [
    ['operations answered', (r) => `${r.answered}`],
    ['… while a site was down or cut off', (r) => `${r.answeredWhileApart}`],
    ['… saying that they may be at most so old', (r) => (r.staleMsMax === null ? '–' : `${r.staleMsMax} ms`)],
    ['… that could not say how old they may be', (r) => `${r.staleUnknown}`],
    ['… confirmed by two sites', (r) => `${r.confirmed}`],
    ['operations that failed', (r) => `${r.failed}`],
    ['operations whose site was killed', (r) => `${r.unanswered}`],
    ['sites killed', (r) => `${r.kills}`],
    ['times that sites were cut off', (r) => `${r.cuts}`],
    ['operations per second', (r) => r.operationsPerSecond.toFixed(0)],
    ['equal after the last fault', (r) => (r.settledMs === null ? 'never' : `${r.settledMs.toFixed(0)} ms`)],
  ]
  for (const [name, figure] of figures) text += dim(line(name, results.map(figure)))
  for (const { mode, findings } of results.filter((result) => result.findings.length > 0)) {
    const some = findings.slice(0, 8).map((finding) => `    ${finding}\n`)
    text += `\n  ${mode}: for example\n${dim(some.join(''))}`
  }
  const words = results.map((result) => {
    const count = total(result)
    return `${result.mode}: ${count === 0 ? 'no anomaly' : `${count} anomalies`}.`
  })
  return `${text}\n  ${(ok ? good : bad)(words.join(' '))}\n`
}
