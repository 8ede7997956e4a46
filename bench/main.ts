import { parseArgs } from 'node:util'
import type { BenchResult } from './lib/report.ts'
import { printReport } from './lib/report.ts'
import { startServer } from './lib/server.ts'

/** One benchmark: measures in rounds on the given server and says what was reached. */
export interface Bench {
  /** Set when no database is needed: `serverUrl` is then empty. */
  readonly withoutServer?: true
  run(options: BenchOptions): Promise<BenchResult>
}

export interface BenchOptions {
  /** A PostgreSQL server with default durability; each measurement makes a database of its own there. */
  readonly serverUrl: string
  readonly rounds: number
  /** Scales durations and counts; 1 is what the documentation quotes, 0.1 a smoke test. */
  readonly scale: number
  /** Only metrics whose name contains this text. */
  readonly only: string | undefined
  readonly progress: (text: string) => void
}

const BENCHES: Readonly<Record<string, () => Promise<{ bench: Bench }>>> = {
  outbox: () => import('./outbox/bench.ts'),
  transactions: () => import('./transactions/bench.ts'),
  inbox: () => import('./inbox/bench.ts'),
  locks: () => import('./locks/bench.ts'),
  saga: () => import('./saga/bench.ts'),
  check: () => import('./check/bench.ts'),
  barrier: () => import('./barrier/bench.ts'),
  'two-phase': () => import('./two-phase/bench.ts'),
  race: () => import('./race/bench.ts'),
  ids: () => import('./ids/bench.ts'),
  'id-index': () => import('./id-index/bench.ts'),
  causality: () => import('./causality/bench.ts'),
}

const USAGE = `Usage: npm run bench -- NAME [--json] [--rounds N] [--scale X] [--only METRIC]
NAME is one of: ${Object.keys(BENCHES).join(', ')}
PostgreSQL: HOLDFAST_BENCH_POSTGRES_URL, else one from npm with default durability.`

const { values, positionals } = readArguments()
const load = BENCHES[positionals[0] ?? '']
if (values.help) {
  console.log(USAGE)
  process.exit(0)
}
const rounds = Number(values.rounds)
const scale = Number(values.scale)
if (load === undefined || positionals.length > 1) refuse(`NAME: got ${JSON.stringify(positionals)}`)
if (!(Number.isInteger(rounds) && rounds > 0))
  refuse(`--rounds: a whole number above 0, got ${values.rounds}`)
if (!(scale > 0 && Number.isFinite(scale))) refuse(`--scale: a number above 0, got ${values.scale}`)

const { bench } = await load()
const server = bench.withoutServer ? { url: '', stop: async () => {} } : await startServer()
try {
  const result = await bench.run({
    serverUrl: server.url,
    rounds,
    scale,
    only: values.only,
    progress: (text) => console.error(text),
  })
  if (values.json) console.log(JSON.stringify(result))
  else printReport(result)
  process.exitCode = result.rows.some((row) => row.lost > 0) ? 1 : 0
} finally {
  await server.stop()
}
process.exit()

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: 'boolean', default: false },
        rounds: { type: 'string', default: '3' },
        scale: { type: 'string', default: '1' },
        only: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    return refuse((error as Error).message)
  }
}

function refuse(problem: string): never {
  console.error(`${problem}\n${USAGE}`)
  process.exit(64)
}
