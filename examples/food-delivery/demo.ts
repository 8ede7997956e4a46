import { resolve } from 'node:path'
import type { Anomalies } from './audit/audit.ts'
import type { Io } from './main.ts'
import { type DemoOptions, type Edition, readOptions } from './options.ts'
import { refuseUnwritable } from './outputs.ts'
import { writePage } from './report/page.ts'
import { type Screen, screen } from './report/progress.ts'
import { ANOMALY_ROWS, totalAnomalies } from './report/rows.ts'
import { comparison, findings, paint, verdict } from './report/table.ts'
import { type History, openHistory } from './run/history.ts'
import { type RunResult, run } from './run/run.ts'
import { planWorkload } from './run/workload.ts'
import { FAULT_LEVELS } from './shared/faults.ts'

const EXIT = { ok: 0, problem: 1 }

/** Orders through the four services: without Holdfast, with it, or with it less each mechanism. Gives the exit code. */
export async function runDemo<Mechanism extends string>(
  edition: Edition<Mechanism>,
  argv: readonly string[],
  io: Io,
  signal: AbortSignal,
): Promise<number> {
  const options = readOptions(argv, edition)
  if (options.help) {
    io.out(edition.help)
    return EXIT.ok
  }
  // On PostgreSQL nothing is kept in a folder.
  refuseUnwritable({
    ...options,
    keepFolder: options.postgresUrl === undefined ? options.keepFolder : undefined,
  })
  const history = openHistory(options.historyFile)
  try {
    const demo = new Demo(edition, options, io, history, signal)
    return options.ablation ? await demo.ablation() : await demo.compare()
  } finally {
    await history.close()
  }
}

class Demo<Mechanism extends string> {
  readonly #edition: Edition<Mechanism>
  readonly #options: DemoOptions<Mechanism>
  readonly #io: Io
  readonly #history: History
  readonly #signal: AbortSignal
  readonly #screen: Screen

  constructor(
    edition: Edition<Mechanism>,
    options: DemoOptions<Mechanism>,
    io: Io,
    history: History,
    signal: AbortSignal,
  ) {
    this.#edition = edition
    this.#options = options
    this.#io = io
    this.#history = history
    this.#signal = signal
    this.#screen = screen(io, options.json)
  }

  /** The naive run and the run with Holdfast, side by side. */
  async compare(): Promise<number> {
    const { only, without, faults, json, htmlFile, orders, seed } = this.#options
    const say = (text: string): void => (json ? undefined : this.#io.out(text))
    say(
      `${orders} ${orders === 1 ? 'order' : 'orders'}, four services, each its own process and its own ${this.#database()} database; faults: ${faults}; seed ${seed}\n`,
    )
    const runs: RunResult[] = []
    if (only !== 'holdfast') runs.push(await this.#run('naive'))
    if (only !== 'naive') runs.push(await this.#run('holdfast', without))
    const ok = judge(runs, faults !== 'none')
    if (htmlFile !== undefined) writePage(htmlFile, runs, { ok, orders, seed, faults })
    if (json) {
      this.#io.out(`${JSON.stringify({ runs: runs.map(toJson), ok })}\n`)
    } else {
      const paints = paint(this.#io.colour)
      say(comparison(runs, paints))
      for (const result of runs) say(findings(result, paints))
      say(verdict(runs, ok, paints))
      if (htmlFile !== undefined) say(`  ${resolve(htmlFile)}\n`)
    }
    return ok ? EXIT.ok : EXIT.problem
  }

  /** With Holdfast less each mechanism in turn: each must be missed in its own way. */
  async ablation(): Promise<number> {
    const results: { without: Mechanism; result: RunResult }[] = []
    const { prevents } = this.#edition
    for (const without of Object.keys(prevents) as Mechanism[]) {
      results.push({ without, result: await this.#run('holdfast', without) })
    }
    const complete = await this.#run('holdfast')
    const ok =
      results.every(({ without, result }) => result.anomalies[prevents[without]] > 0) &&
      totalAnomalies(complete.anomalies) === 0 &&
      complete.everythingEnded
    if (this.#options.json) {
      const ablation = results.map(({ without, result }) => ({ without, anomalies: result.anomalies }))
      this.#io.out(`${JSON.stringify({ ablation, complete: toJson(complete), ok })}\n`)
    } else {
      this.#io.out(comparisonOfAblation(results, prevents, complete, this.#io.colour))
    }
    return ok ? EXIT.ok : EXIT.problem
  }

  async #run(mode: 'naive' | 'holdfast', without?: Mechanism): Promise<RunResult> {
    const { orders, seed, faults, killAt, postgresUrl, keepFolder } = this.#options
    const name = without === undefined ? mode : `without-${without}`
    const result = await run({
      name,
      version: mode === 'naive' ? { name: 'naive' } : this.#edition.version(without),
      workload: planWorkload(orders, seed),
      seed,
      faults: FAULT_LEVELS[faults],
      killAt: mode === 'holdfast' ? killAt : [],
      storage: { postgresUrl, keepFolder: keepFolder === undefined ? undefined : resolve(keepFolder) },
      history: this.#history,
      onProgress: (progress) => this.#screen.show(name, progress),
      signal: this.#signal,
    })
    this.#screen.done(name, result)
    return result
  }

  #database(): string {
    return this.#options.postgresUrl === undefined ? 'SQLite' : 'PostgreSQL'
  }
}

/** Holdfast must be without a flaw, and under faults the naive run must show that there was something to prevent. */
function judge(runs: readonly RunResult[], faults: boolean): boolean {
  return runs.every((result) =>
    result.mode === 'holdfast'
      ? totalAnomalies(result.anomalies) === 0 && result.everythingEnded
      : !faults || runs.length === 1 || totalAnomalies(result.anomalies) > 0,
  )
}

function toJson(result: RunResult): object {
  const { name, mode, without, orders, anomalies, ordersPerSecond, p50Ms, p99Ms, kills } = result
  const { ended, delivered, cancelled, everythingEnded, stuck, faults, retries } = result
  return {
    mode,
    name,
    ...(without === undefined ? {} : { without }),
    orders,
    anomalies,
    ordersPerSecond,
    p50Ms,
    p99Ms,
    kills,
    ended,
    delivered,
    cancelled,
    everythingEnded,
    stuck,
    faults,
    retries,
    findings: result.findings,
  }
}

function comparisonOfAblation<Mechanism extends string>(
  results: readonly { without: Mechanism; result: RunResult }[],
  prevents: Edition<Mechanism>['prevents'],
  complete: RunResult,
  colour: boolean,
): string {
  const { bad, good, strong } = paint(colour)
  const words = new Map<keyof Anomalies, string>(ANOMALY_ROWS)
  let text = `\n${strong(`  ${'without'.padEnd(14)}${'what it prevents'.padEnd(36)}${'seen'.padStart(6)}   also\n`)}`
  for (const { without, result } of results) {
    const own = prevents[without]
    const count = result.anomalies[own]
    const also = ANOMALY_ROWS.filter(([kind]) => kind !== own && result.anomalies[kind] > 0)
      .map(([kind, name]) => `${name}: ${result.anomalies[kind]}`)
      .join(', ')
    text += `  ${without.padEnd(14)}${(words.get(own) ?? '').padEnd(36)}${(count > 0 ? bad : good)(String(count).padStart(6))}   ${also}\n`
  }
  const total = totalAnomalies(complete.anomalies)
  text += `  ${'nothing'.padEnd(14)}${''.padEnd(36)}${(total > 0 ? bad : good)(String(total).padStart(6))}   ${
    complete.everythingEnded ? 'every order reached an end' : 'not every order reached an end'
  }\n`
  return text
}
