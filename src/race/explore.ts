/** The search: serial orders first, then by number of preemptions with random walks in between. */
import { type Anomaly, diagnose } from './anomaly.ts'
import { ScheduleDivergedError } from './errors.ts'
import { interceptPg, type RawClient } from './intercept-pg.ts'
import {
  findTables,
  type Outcome,
  outcomeOf,
  readRows,
  type Snapshot,
  sameOutcome,
  type Tables,
} from './outcome.ts'
import { openControl, poolOf, type Race, type RaceOptions, resolveOptions } from './race.ts'
import { seeded } from './random.ts'
import { decodeSchedule, encodeSchedule, preemptions } from './schedule.ts'
import { type Choose, type Run, Scheduler, type WaitEdge } from './scheduler.ts'
import type { Step } from './task.ts'
import { realNow, virtualise } from './virtual.ts'

export interface RaceFinding {
  readonly anomaly: Anomaly
  /** One sentence: what differs from every serial order. */
  readonly explanation: string
  /** Replays it: `--replay`. */
  readonly schedule: string
  readonly preemptions: number
  readonly steps: readonly Step[]
  readonly responsible: readonly number[]
  readonly remedy: string
  readonly deadlock: readonly WaitEdge[] | undefined
  readonly outcome: Outcome
  readonly serial: readonly { readonly order: readonly string[]; readonly outcome: Outcome }[]
}

export interface RaceReport {
  readonly name: string
  readonly tasks: readonly string[]
  readonly ok: boolean
  readonly finding: RaceFinding | undefined
  readonly coverage: {
    readonly schedules: number
    readonly outcomes: number
    /** Interleavings of the steps of the longest serial run, ignoring blocking: an upper bound. */
    readonly estimatedSpace: number
    /** True when every schedule was run. */
    readonly exhaustive: boolean
    /** Every schedule with at most so many preemptions was run. */
    readonly preemptionBound: number
    readonly seconds: number
    readonly blockedP50Ms: number | undefined
  }
}

/** One prefix of the systematic search: follow it, then go on without preemption. */
interface Prefix {
  readonly choices: readonly number[]
  readonly preemptions: number
}

/** Explores one race. Stops at the first finding. Runs alone in its process: globals and the driver are patched meanwhile. */
export async function explore(race: Race, overrides: RaceOptions = {}): Promise<RaceReport> {
  const options = resolveOptions({ ...race.definition.options, ...overrides })
  const pool = poolOf(race)
  const control = await openControl(pool)
  const undo = [interceptPg(pool, Object.keys(race.definition.tasks).length), virtualise()]
  try {
    return await new Explorer(race, options, control).run()
  } finally {
    for (const step of undo) step()
    await control.end()
  }
}

class Explorer {
  readonly #race: Race
  readonly #options: ReturnType<typeof resolveOptions>
  readonly #control: RawClient
  readonly #names: string[]
  readonly #began = realNow()
  readonly #blockedAfterMs: number[] = []
  readonly #outcomes = new Set<string>()
  readonly #serial = new Map<string, Outcome>()
  #tables: Tables | undefined
  #before: Snapshot = { rows: [] }
  #schedules = 0
  #space = 0
  #bound = 0
  #exhaustive = false

  constructor(race: Race, options: ReturnType<typeof resolveOptions>, control: RawClient) {
    this.#race = race
    this.#options = options
    this.#control = control
    this.#names = Object.keys(race.definition.tasks)
  }

  async run(): Promise<RaceReport> {
    const all = this.#names.map((_, index) => index)
    // Thrown away: connections are opened, prepared and warmed, so that later runs take the same steps.
    await this.#execute(randomWalk(seeded(this.#options.seed)))
    for (const order of permutations(all)) {
      const first = await this.#serialOutcome(order)
      const again = (await this.#execute(serially(order))).outcome
      if (!sameOutcome(first, again))
        throw new ScheduleDivergedError(
          0,
          `the serial order ${this.#orderText(order)} gave two different outcomes: the tasks or setup are not deterministic`,
        )
      this.#schedules += 2
    }
    return this.#report(
      this.#options.replay === undefined ? await this.#search() : await this.#replay(this.#options.replay),
    )
  }

  async #replay(text: string): Promise<RaceFinding | undefined> {
    const wanted = decodeSchedule(text, this.#names.length)
    const found = await this.#try((ready, last, at) => {
      const choice = wanted[at]
      if (choice === undefined) return goOn(ready, last)
      if (!ready.includes(choice)) {
        throw new ScheduleDivergedError(at + 1, `task ${this.#names[choice]} should go on and cannot`)
      }
      return choice
    })
    return found.finding
  }

  async #search(): Promise<RaceFinding | undefined> {
    const levels: Prefix[][] = [[{ choices: [], preemptions: 0 }]]
    const random = seeded(this.#options.seed)
    for (
      let turn = 0;
      this.#schedules < this.#options.schedules && this.#seconds() < this.#options.seconds;
      turn += 1
    ) {
      const level = levels.findIndex((prefixes) => prefixes.length > 0)
      if (level < 0) {
        this.#exhaustive = true
        return undefined
      }
      this.#bound = Math.max(0, level - 1)
      // Every third schedule is random: deep races do not have to wait for the systematic search.
      if (turn % 3 === 2) {
        const { run, finding } = await this.#try(randomWalk(random))
        if (finding !== undefined) return this.#shrink(finding, preemptions(run.choices, run.ready), levels)
        continue
      }
      const prefix = levels[level]?.shift() as Prefix
      const finding = await this.#follow(prefix, levels)
      if (finding !== undefined) return finding
    }
    return undefined
  }

  async #follow(prefix: Prefix, levels: Prefix[][]): Promise<RaceFinding | undefined> {
    const { run, finding } = await this.#try((ready, last, at) => {
      const choice = prefix.choices[at]
      if (choice === undefined) return goOn(ready, last)
      if (!ready.includes(choice)) {
        throw new ScheduleDivergedError(
          at + 1,
          `task ${this.#names[choice]} was ready there before and is not now: the code is not deterministic`,
        )
      }
      return choice
    })
    this.#space = Math.max(this.#space, interleavings(run.choices))
    for (let at = prefix.choices.length; at < run.choices.length; at += 1) {
      for (const other of run.ready[at] ?? []) {
        if (other === run.choices[at]) continue
        const choices = [...run.choices.slice(0, at), other]
        const count = preemptions(choices, run.ready)
        levels[count] ??= []
        levels[count]?.push({ choices, preemptions: count })
      }
    }
    for (let level = 0; level < levels.length; level += 1) levels[level] ??= []
    return finding
  }

  /** A finding of a random walk has more preemptions than it needs: look with fewer, from what the search has not yet tried. */
  async #shrink(found: RaceFinding, count: number, levels: Prefix[][]): Promise<RaceFinding> {
    for (let tries = 0; tries < 300; tries += 1) {
      const level = levels.findIndex((prefixes) => prefixes.length > 0)
      if (level < 0 || level >= count) return found
      const finding = await this.#follow(levels[level]?.shift() as Prefix, levels)
      if (finding !== undefined) return finding
    }
    return found
  }

  async #try(choose: Choose): Promise<{ run: Run; finding: RaceFinding | undefined }> {
    this.#schedules += 1
    const { run, outcome, violated } = await this.#execute(choose)
    this.#outcomes.add(JSON.stringify(outcome))
    const why = violated ?? (await this.#whyNot(run, outcome))
    return {
      run,
      finding: why === undefined ? undefined : await this.#finding(run, outcome, why, violated !== undefined),
    }
  }

  /** Undefined when some serial order of the tasks that succeeded explains the outcome. */
  async #whyNot(run: Run, outcome: Outcome): Promise<string | undefined> {
    const all = this.#names.map((_, index) => index)
    for (const order of permutations(all)) {
      if (sameOutcome(await this.#serialOutcome(order), outcome)) return undefined
    }
    const failed = all.filter((index) => outcome.errors[index] !== undefined)
    const escaped = failed.find((index) => !isRefusal((run.results[index] as { error: unknown }).error))
    if (escaped !== undefined) {
      return `task ${this.#names[escaped]} failed with "${outcome.errors[escaped]}", which no serial order does`
    }
    const done = all.filter((index) => !failed.includes(index))
    for (const order of failed.length > 0 ? permutations(done) : []) {
      const serial = await this.#serialOutcome(order)
      if (
        serial.rows === outcome.rows &&
        done.every((index) => serial.values[index] === outcome.values[index])
      )
        return undefined
    }
    return failed.length === 0
      ? 'the rows or returned values are those of no serial order'
      : 'the rows or returned values are those of no serial order of the tasks that succeeded'
  }

  async #serialOutcome(order: readonly number[]): Promise<Outcome> {
    const key = order.join()
    const known = this.#serial.get(key)
    if (known !== undefined) return known
    const { outcome, run } = await this.#execute(serially(order), order)
    this.#space = Math.max(this.#space, interleavings(run.choices))
    this.#serial.set(key, outcome)
    return outcome
  }

  async #execute(
    choose: Choose,
    only?: readonly number[],
  ): Promise<{ run: Run; outcome: Outcome; violated: string | undefined }> {
    const { setup, tasks, invariant } = this.#race.definition
    const { seed, stallMs } = this.#options
    await setup?.(this.#control)
    if (this.#tables === undefined) {
      this.#tables = await findTables(this.#control)
      this.#before = await readRows(this.#control, this.#tables)
    }
    const scheduler = new Scheduler({
      names: this.#names,
      bodies: this.#names.map((name, index) =>
        only === undefined || only.includes(index) ? (tasks[name] as () => unknown) : () => undefined,
      ),
      random: (index) => seeded(seed * 31 + index),
      control: this.#control,
      stallMs,
      blockedAfterMs: this.#blockedAfterMs,
    })
    const run = await scheduler.run(choose)
    const outcome = outcomeOf(run, await readRows(this.#control, this.#tables), this.#before, this.#tables)
    return {
      run,
      outcome,
      violated: invariant === undefined ? undefined : await violation(invariant, this.#control),
    }
  }

  async #finding(run: Run, outcome: Outcome, explanation: string, violated: boolean): Promise<RaceFinding> {
    const diagnosis = diagnose(run.steps, run.deadlock)
    const unnamed = diagnosis.anomaly === 'not serializable'
    const anomaly = !unnamed
      ? diagnosis.anomaly
      : violated
        ? 'invariant violated'
        : / failed with /.test(explanation)
          ? 'error'
          : diagnosis.anomaly
    return {
      ...diagnosis,
      anomaly,
      explanation,
      schedule: encodeSchedule(run.choices),
      preemptions: preemptions(run.choices, run.ready),
      steps: run.steps,
      deadlock: run.deadlock,
      outcome,
      serial: permutations(this.#names.map((_, index) => index)).flatMap((order) => {
        const known = this.#serial.get(order.join())
        return known === undefined
          ? []
          : [{ order: order.map((index) => this.#names[index] as string), outcome: known }]
      }),
    }
  }

  #report(finding: RaceFinding | undefined): RaceReport {
    const sorted = [...this.#blockedAfterMs].sort((a, b) => a - b)
    return {
      name: this.#race.name,
      tasks: this.#names,
      ok: finding === undefined,
      finding,
      coverage: {
        schedules: this.#schedules,
        outcomes: this.#outcomes.size,
        estimatedSpace: this.#space,
        exhaustive: this.#exhaustive,
        preemptionBound: this.#bound,
        seconds: this.#seconds(),
        blockedP50Ms: sorted[Math.floor(sorted.length / 2)],
      },
    }
  }

  #seconds(): number {
    return (realNow() - this.#began) / 1_000
  }

  #orderText(order: readonly number[]): string {
    return order.map((index) => this.#names[index]).join(', then ')
  }
}

/** The task that moved last goes on while it can, else the first that is ready. */
function goOn(ready: readonly number[], last: number | undefined): number {
  return last !== undefined && ready.includes(last) ? last : (ready[0] as number)
}

function serially(order: readonly number[]): Choose {
  return (ready) => order.find((index) => ready.includes(index)) ?? (ready[0] as number)
}

function randomWalk(random: () => number): Choose {
  return (ready) => ready[Math.floor(random() * ready.length)] as number
}

/** The database or Holdfast declined the transaction: such a task must have left nothing, and that is checked. */
function isRefusal(error: unknown): boolean {
  const { code, outcome } = (error ?? {}) as { code?: unknown; outcome?: unknown }
  if (outcome === 'not-applied') return code !== 'DEADLOCK'
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code))
    return ['40001', '55P03', '23505', '23P01'].includes(code)
  return (
    error instanceof Error &&
    !(error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError)
  )
}

async function violation(
  invariant: (db: RawClient) => unknown,
  control: RawClient,
): Promise<string | undefined> {
  try {
    return (await invariant(control)) === false ? 'the invariant is false' : undefined
  } catch (error) {
    return `the invariant failed: ${error instanceof Error ? error.message : String(error)}`
  }
}

function permutations(items: readonly number[]): number[][] {
  if (items.length <= 1) return [[...items]]
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  )
}

/** How many orders the steps of a run have when each task keeps its own order. */
function interleavings(choices: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const choice of choices) counts.set(choice, (counts.get(choice) ?? 0) + 1)
  let total = 0
  let ways = 1
  for (const count of counts.values()) {
    for (let n = 1; n <= count; n += 1) ways = (ways * (total + n)) / n
    total += count
  }
  return Math.round(ways)
}
