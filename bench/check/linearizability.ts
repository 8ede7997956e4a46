import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { atMost, type BenchTarget, median, type Sample } from '../lib/report.ts'
import type { BenchOptions } from '../main.ts'

const child = fileURLToPath(new URL('./linearizability-child.ts', import.meta.url))
const shared = fileURLToPath(new URL('../../../shared/histories/porcupine', import.meta.url))

interface Measured {
  readonly seconds: number
  readonly mb: number
}

/**
 * Linearizability: the 102 etcd logs of Porcupine from file to verdict, one key under ten clients (reads, writes and
 * compare-and-set of five values), a register and a queue with unique values. Each in a process of its own, cold.
 */
export function measureLinearizability(options: BenchOptions): { samples: Sample[]; targets: BenchTarget[] } {
  const samples: Sample[] = []
  const folder = process.env.HOLDFAST_BENCH_HISTORIES ?? shared
  const measure = (metric: string, ...args: string[]): void => {
    if (options.only !== undefined && !metric.includes(options.only)) return
    for (let round = 0; round < options.rounds; round++) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [child, ...args], { encoding: 'utf8' })
      if (status !== 0) throw new Error(stderr)
      const { seconds, mb } = JSON.parse(stdout) as Measured
      samples.push({ system: 'holdfast', metric: `${metric}: time`, unit: 's', value: seconds })
      samples.push({ system: 'holdfast', metric: `${metric}: peak memory`, unit: 'MB', value: mb })
      options.progress(`${metric}: ${seconds.toFixed(3)} s, ${mb.toFixed(0)} MB`)
    }
  }
  if (existsSync(join(folder, 'expected.json'))) measure('102 etcd logs', 'etcd', folder)
  else
    options.progress(
      `etcd logs are left out: there is no ${folder} (HOLDFAST_BENCH_HISTORIES names another folder)`,
    )
  for (const count of [10_000, 100_000, 1_000_000]) {
    const scaled = Math.max(100, Math.round(count * options.scale))
    measure(`one key, ${count} operations`, 'one-key', String(scaled))
    measure(`unique values, ${count} operations`, 'unique', String(scaled))
    measure(`queue, ${count} operations`, 'queue', String(scaled))
  }
  const of = (metric: string): number[] => samples.filter((s) => s.metric === metric).map((s) => s.value)
  const targets: BenchTarget[] = []
  const target = (name: string, metric: string, factor: number, bound: number): void => {
    const values = of(metric)
    if (values.length > 0) targets.push(atMost(name, median(values) * factor, bound))
  }
  target('check.etcdMs', '102 etcd logs: time', 1000, 150)
  target('check.oneKey100kSeconds', 'one key, 100000 operations: time', 1, 10)
  target('check.oneKey100kMb', 'one key, 100000 operations: peak memory', 1, 1024)
  target('check.unique1mSeconds', 'unique values, 1000000 operations: time', 1, 0.5)
  return { samples, targets }
}
