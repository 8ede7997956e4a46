export interface BenchRow {
  readonly system: string
  readonly metric: string
  readonly unit: string
  readonly median: number
  readonly runs: readonly number[]
  readonly lost: number
  readonly duplicated: number
}

export interface BenchTarget {
  readonly name: string
  readonly value: number
  readonly target: string
  readonly met: boolean
}

export interface BenchResult {
  readonly bench: string
  readonly rows: readonly BenchRow[]
  readonly targets: readonly BenchTarget[]
}

/** One figure of one system in one round. */
export interface Sample {
  readonly system: string
  readonly metric: string
  readonly unit: string
  readonly value: number
  readonly lost?: number
  readonly duplicated?: number
}

/** One row per system and metric: the median of its rounds, the worst of its losses. */
export function toRows(samples: readonly Sample[]): BenchRow[] {
  const groups = new Map<string, Sample[]>()
  for (const sample of samples) {
    const name = JSON.stringify([sample.metric, sample.system])
    groups.set(name, [...(groups.get(name) ?? []), sample])
  }
  return [...groups.values()].map((group) => {
    const { system, metric, unit } = group[0] as Sample
    const runs = group.map((sample) => round(sample.value))
    return {
      system,
      metric,
      unit,
      median: round(median(group.map((sample) => sample.value))),
      runs,
      lost: Math.max(...group.map((sample) => sample.lost ?? 0)),
      duplicated: Math.max(...group.map((sample) => sample.duplicated ?? 0)),
    }
  })
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

export function atLeast(name: string, value: number, bound: number): BenchTarget {
  return { name, value: round(value), target: `>= ${bound}`, met: value >= bound }
}

export function atMost(name: string, value: number, bound: number): BenchTarget {
  return { name, value: round(value), target: `<= ${bound}`, met: value <= bound }
}

/** Ratios pair by pair within a round, so that a machine whose speed drifts does not decide; their median. */
export function pairedRatio(
  samples: readonly Sample[],
  metric: string,
  system: string,
  other: string | readonly string[],
  best: 'highest' | 'lowest' = 'highest',
): number {
  const others = typeof other === 'string' ? [other] : other
  const mine = samples.filter((s) => s.metric === metric && s.system === system).map((s) => s.value)
  const ratios = mine.map((value, i) => {
    const rivals = others
      .map((name) => samples.filter((s) => s.metric === metric && s.system === name)[i]?.value)
      .filter((v) => v !== undefined && Number.isFinite(v)) as number[]
    return value / (best === 'highest' ? Math.max(...rivals) : Math.min(...rivals))
  })
  return median(ratios)
}

export function printReport({ bench, rows, targets }: BenchResult): void {
  console.log(`\n${bench}`)
  table(
    ['metric', 'system', 'median', 'unit', 'runs', 'lost', 'twice'],
    rows.map((r) => [
      r.metric,
      r.system,
      show(r.median),
      r.unit,
      r.runs.map(show).join(' '),
      `${r.lost}`,
      `${r.duplicated}`,
    ]),
  )
  console.log()
  table(
    ['target', 'value', 'wanted', 'met'],
    targets.map((t) => [t.name, show(t.value), t.target, t.met ? 'yes' : 'NO']),
  )
}

function table(head: readonly string[], body: readonly (readonly string[])[]): void {
  const widths = head.map((h, i) => Math.max(h.length, ...body.map((row) => row[i]?.length ?? 0)))
  for (const row of [head, ...body])
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
}

function show(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : String(value)
}

function round(value: number): number {
  return value >= 100 ? Math.round(value) : Math.round(value * 1000) / 1000
}
