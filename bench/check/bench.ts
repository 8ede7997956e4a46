import { type BenchTarget, type Sample, toRows } from '../lib/report.ts'
import type { Bench } from '../main.ts'
import { measureLinearizability } from './linearizability.ts'
import { measureRecording } from './recording.ts'
import { measureTransactions } from './transactions.ts'

/** The history checkers: from a file to a verdict, time and peak memory; and what recording costs. */
export const bench: Bench = {
  withoutServer: true,
  async run(options) {
    const samples: Sample[] = []
    const targets: BenchTarget[] = []
    for (const measure of [measureLinearizability, measureTransactions, measureRecording]) {
      const part = await measure(options)
      samples.push(...part.samples)
      targets.push(...part.targets)
    }
    return { bench: 'check', rows: toRows(samples), targets }
  },
}
