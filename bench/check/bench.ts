import { type BenchTarget, type Sample, toRows } from '../lib/report.ts'
import type { Bench } from '../main.ts'
import { measureTransactions } from './transactions.ts'

/** The history checkers: from a file to a verdict, time and peak memory. Needs no database. */
export const bench: Bench = {
  withoutServer: true,
  async run(options) {
    const samples: Sample[] = []
    const targets: BenchTarget[] = []
    for (const measure of [measureTransactions]) {
      const part = measure(options)
      samples.push(...part.samples)
      targets.push(...part.targets)
    }
    return { bench: 'check', rows: toRows(samples), targets }
  },
}
