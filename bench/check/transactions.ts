import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { atMost, type BenchTarget, median, type Sample } from '../lib/report.ts'
import type { BenchOptions } from '../main.ts'

const child = fileURLToPath(new URL('./child.ts', import.meta.url))

interface Way {
  readonly name: string
  readonly versions: boolean
  readonly level: string
}

const WAYS: readonly Way[] = [
  { name: 'versions known, serializable', versions: true, level: 'serializable' },
  { name: 'versions known, snapshot isolation', versions: true, level: 'snapshot-isolation' },
  { name: 'versions known, causal', versions: true, level: 'causal' },
  { name: 'versions unknown, serializable', versions: false, level: 'serializable' },
]

/** Histories of 4 operations a transaction, 10 sessions, one key for every 20 transactions; from JSON lines to verdict. */
export function measureTransactions(options: BenchOptions): { samples: Sample[]; targets: BenchTarget[] } {
  const samples: Sample[] = []
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  try {
    for (const count of [10_000, 100_000, 1_000_000]) {
      const transactions = Math.max(100, Math.round(count * options.scale))
      for (const way of WAYS) {
        const metric = `${transactions} transactions, ${way.name}`
        if (options.only !== undefined && !metric.includes(options.only)) continue
        const file = join(folder, `${transactions}-${way.versions}.jsonl`)
        writeHistory(file, transactions, way.versions)
        for (let round = 0; round < options.rounds; round++) {
          const { status, stdout, stderr } = spawnSync(process.execPath, [child, file, way.level], {
            encoding: 'utf8',
          })
          if (status !== 0) throw new Error(stderr)
          const { seconds, readSeconds, mb } = JSON.parse(stdout) as {
            seconds: number
            readSeconds: number
            mb: number
          }
          const add = (what: string, unit: string, value: number): void => {
            samples.push({ system: 'holdfast', metric: `${metric}: ${what}`, unit, value })
          }
          add('from JSON lines to verdict', 's', seconds)
          add('of it reading', 's', readSeconds)
          add('peak memory', 'MB', mb)
          options.progress(
            `${metric}: ${seconds.toFixed(2)} s (reading ${readSeconds.toFixed(2)}), ${mb.toFixed(0)} MB`,
          )
        }
        rmSync(file)
      }
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  const of = (what: string): number[] =>
    samples
      .filter((s) => s.metric === `1000000 transactions, ${(WAYS[0] as Way).name}: ${what}`)
      .map((s) => s.value)
  const seconds = of('from JSON lines to verdict')
  const targets =
    seconds.length === 0
      ? []
      : [
          atMost('check.txn1mSeconds', median(seconds), 5),
          atMost('check.txn1mMb', median(of('peak memory')), 1024),
        ]
  return { samples, targets }
}

/** A serial run: what each transaction reads is the latest. The same text for the same arguments. */
function writeHistory(file: string, transactions: number, versions: boolean): void {
  const keys = Math.max(10, Math.floor(transactions / 20))
  const value = new Int32Array(keys)
  const version = new Int32Array(keys)
  let state = 12_345
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const fd = openSync(file, 'w')
  let next = 1
  let lines: string[] = []
  for (let t = 0; t < transactions; t++) {
    const operations: string[] = []
    for (let i = 0; i < 4; i++) {
      const key = random(keys)
      const write = random(2) === 0
      if (write) {
        value[key] = next++
        version[key] = (version[key] as number) + 1
      }
      const seen = version[key] === 0 ? 'null' : value[key]
      operations.push(`["${write ? 'w' : 'r'}",${key},${seen}${versions ? `,${version[key]}` : ''}]`)
    }
    lines.push(
      `{"process":${t % 10},"type":"ok","f":"txn","value":[${operations.join(',')}],"time":${t * 1000}}\n`,
    )
    if (lines.length === 10_000 || t === transactions - 1) {
      writeSync(fd, lines.join(''))
      lines = []
    }
  }
  closeSync(fd)
}
