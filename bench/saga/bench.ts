import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { atLeast, type BenchTarget, median, pairedRatio, type Sample, toRows } from '../lib/report.ts'
import { openPool, withDatabase } from '../lib/server.ts'
import type { Bench } from '../main.ts'
import type { Answer, Job } from './job.ts'

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url))
const SYSTEMS: readonly Job['system'][] = ['holdfast', 'dbos', 'control']
const CONCURRENCIES = [1, 16, 64]

/** Sagas of 1, 3 and 5 steps beside DBOS Transact and a bare control; and 50 half-done ones taken up after a kill. */
export const bench: Bench = {
  async run({ serverUrl, rounds, scale, only, progress }) {
    const samples: Sample[] = []
    const wanted = (metric: string): boolean => only === undefined || metric.includes(only)
    for (let round = 1; round <= rounds; round++) {
      for (const kind of ['trivial', 'row'] as const) {
        for (const steps of [1, 3, 5]) {
          for (const concurrency of CONCURRENCIES) {
            const metric = `${steps} ${kind} ${steps === 1 ? 'step' : 'steps'}, ${concurrency} at a time`
            if (!wanted(metric)) continue
            for (const system of SYSTEMS) {
              const job: Omit<Job, 'url'> = {
                system,
                steps,
                kind,
                what: 'measure',
                concurrency,
                durationMs: 2_500 * scale,
                count: 0,
              }
              const { answer, commits } = await measure(serverUrl, job)
              samples.push({ system, metric, unit: 'sagas/s', value: answer.perSecond })
              samples.push({ system, metric: `${metric}: p50`, unit: 'ms', value: answer.p50Ms })
              samples.push({ system, metric: `${metric}: commits`, unit: 'a saga', value: commits })
              progress(
                `round ${round}: ${metric}: ${system}: ${answer.perSecond.toFixed(0)}/s, p50 ${answer.p50Ms.toFixed(2)} ms, ${commits.toFixed(2)} commits a saga`,
              )
            }
          }
        }
      }
      if (wanted('recovery')) {
        for (const system of ['holdfast', 'dbos'] as const) {
          const value = await recover(serverUrl, system)
          samples.push({ system, metric: 'recovery of 50 half-done sagas', unit: 'ms', value })
          progress(`round ${round}: recovery: ${system}: ${value.toFixed(0)} ms`)
        }
      }
    }
    return { bench: 'saga', rows: toRows(samples), targets: targetsOf(samples) }
  },
}

function targetsOf(samples: readonly Sample[]): BenchTarget[] {
  const has = (metric: string): boolean => samples.some((s) => s.metric === metric)
  const targets: BenchTarget[] = []
  for (const [name, metric, bound] of [
    ['saga.steps1c64.vsDbos', '1 trivial step, 64 at a time', 10],
    ['saga.steps3c64.vsDbos', '3 trivial steps, 64 at a time', 10],
    ['saga.steps3c1.vsDbos', '3 trivial steps, 1 at a time', 2.5],
  ] as const) {
    if (has(metric)) targets.push(atLeast(name, pairedRatio(samples, metric, 'holdfast', 'dbos'), bound))
  }
  const p50s = [...new Set(samples.map((s) => s.metric))].filter((metric) => metric.endsWith(': p50'))
  if (p50s.length > 0) {
    const worst = Math.min(
      ...p50s.map((metric) => 1 / pairedRatio(samples, metric, 'holdfast', 'dbos', 'lowest')),
    )
    targets.push(atLeast('saga.p50.vsDbos', worst, 1))
  }
  const recovery = 'recovery of 50 half-done sagas'
  if (has(recovery)) {
    const of = (system: string): number =>
      median(samples.filter((s) => s.metric === recovery && s.system === system).map((s) => s.value))
    targets.push(atLeast('saga.recovery.vsDbos', of('dbos') / of('holdfast'), 1))
  }
  return targets
}

async function measure(
  serverUrl: string,
  job: Omit<Job, 'url'>,
): Promise<{ readonly answer: Answer; readonly commits: number }> {
  return withDatabase(serverUrl, async (url) => {
    const pool = openPool(url, 1)
    await pool.query('create table business (id text primary key, v text)')
    const before = await commitsOf(pool)
    const worker = start({ ...job, url })
    const answer = (await worker.answer) as Answer
    await worker.exited
    await new Promise((resolve) => setTimeout(resolve, 600)) // the server adds up its figures that late
    const after = await commitsOf(pool)
    await pool.end()
    // The warm-up is a third as long at most.
    const share = 1 + Math.min(1_000, job.durationMs / 3) / job.durationMs
    return { answer, commits: (after - before) / (answer.done * share) }
  })
}

async function commitsOf(pool: ReturnType<typeof openPool>): Promise<number> {
  const { rows } = await pool.query(
    'select xact_commit::int as n from pg_stat_database where datname = current_database()',
  )
  return rows[0].n
}

/** From the start of the second process to the end of the last saga, once the first one's leases are over. */
async function recover(serverUrl: string, system: Job['system']): Promise<number> {
  return withDatabase(serverUrl, async (url) => {
    const job: Job = {
      system,
      url,
      steps: 3,
      kind: 'trivial',
      what: 'hang',
      concurrency: 1,
      durationMs: 0,
      count: 50,
    }
    const pool = openPool(url, 1)
    await pool.query('create table business (id text primary key, v text)')
    const first = start(job)
    await first.answer
    await new Promise((resolve) => setTimeout(resolve, 500)) // every saga is at its second step
    first.child.kill('SIGKILL')
    await first.exited
    if (system === 'holdfast') {
      for (;;) {
        const { rows } = await pool.query(
          'select count(*)::int as n from holdfast_lease where until_ms > extract(epoch from clock_timestamp()) * 1000',
        )
        if (rows[0].n === 0) break
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    const began = performance.now()
    const second = start({ ...job, what: 'recover' })
    await second.answer
    const tookMs = performance.now() - began
    await second.exited
    await pool.end()
    return tookMs
  })
}

function start(job: Job): { child: ChildProcess; answer: Promise<unknown>; exited: Promise<void> } {
  const child = spawn(process.execPath, [WORKER, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const answer = new Promise<unknown>((resolve, reject) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      if (line.startsWith('@')) resolve(JSON.parse(line.slice(1)))
    })
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`${job.system} ended with ${code} before it answered`)))
  })
  answer.catch(() => {})
  return { child, answer, exited }
}
