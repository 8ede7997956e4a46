/** The search: serial orders first, then by number of preemptions with random walks in between. */
import { type Anomaly, diagnose } from './anomaly.ts'
import { ScheduleDivergedError } from './errors.ts'
import { Execution } from './execution.ts'
import type { Ground } from './ground.ts'
import { SerialOracle } from './oracle.ts'
import { type Outcome, sameOutcome } from './outcome.ts'
import { openPgGround } from './pg-ground.ts'
import { type PriorityBound, PrioritySearch } from './priorities.ts'
import { type Race, type RaceOptions, resolveOptions } from './race.ts'
import { seeded } from './random.ts'
import { propose, type Trial } from './remedy/propose.ts'
import type { RemedyResult } from './remedy/remedy.ts'
import { dropPgIndex, treatPg, withIndex } from './remedy/treat.ts'
import { type Exploration, tryRemedies } from './remedy/try-remedies.ts'
import { decodeSchedule, encodeSchedule, preemptions } from './schedule.ts'
import type { Choose, Run, WaitEdge } from './scheduler.ts'
import { follow, interleavings, PreemptionSearch, type Prefix, randomWalk, serially } from './search.ts'
import { sqliteOf } from './sqlite/handle.ts'
import { proposeSqlite } from './sqlite/propose-sqlite.ts'
import { openSqliteGround } from './sqlite/sqlite-ground.ts'
import type { Step } from './task.ts'
import { realNow } from './virtual.ts'

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
  /** What came of trying remedies on the tasks as they are; empty where none was tried. */
  readonly remedies: readonly RemedyResult[]
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
    /** The most interleavings that the steps of one run have: blocking leaves fewer, a task that takes other steps when it is refused has more. */
    readonly estimatedSpace: number
    /** True when every schedule was run. */
    readonly exhaustive: boolean
    /**
     * True when every schedule was run, or one that differs from it only by the order of neighbouring steps that are
     * independent in the database. What tasks share in memory may tell them apart.
     */
    readonly upToEquivalence: boolean
    /** Every schedule with at most so many preemptions was run. */
    readonly preemptionBound: number
    /** What the schedules of random priorities show of races with few ordering constraints, among runs of `prioritySteps`. */
    readonly priorities: readonly PriorityBound[]
    /** The choices of the longest serial run: `priorities` speaks of races within so many. */
    readonly prioritySteps: number
    readonly seconds: number
    readonly blockedP50Ms: number | undefined
  }
}

/**
 * Explores one race. Stops at the first finding, and tries its remedies. Runs alone in its process: globals and the driver
 * are patched meanwhile.
 */
export async function explore(race: Race, overrides: RaceOptions = {}): Promise<RaceReport> {
  const options = resolveOptions({ ...race.definition.options, ...overrides })
  const { report } = await exploreOnce(race, options)
  const { finding } = report
  if (finding === undefined || !options.remedies || options.replay !== undefined) return report
  const remedies =
    sqliteOf(race) === undefined
      ? await tryRemedies({ race, propose, treat: treatPg, clean: dropPgIndex }, report, options, exploreOnce)
      : await tryRemedies({ race, propose: proposeSqlite, treat: withIndex }, report, options, exploreOnce)
  return { ...report, finding: { ...finding, remedies } }
}

async function exploreOnce(race: Race, given: RaceOptions, trial?: Trial): Promise<Exploration> {
  const options = resolveOptions(given)
  const sqlite = sqliteOf(race)
  const ground =
    sqlite === undefined
      ? await openPgGround(race, options.stallMs, trial?.treatment)
      : await openSqliteGround(race, sqlite.open(), { ...options, trial })
  try {
    return await new Explorer(race, options, ground).run()
  } finally {
    await ground.end()
  }
}

/** How many schedules a finding with many preemptions is worth. */
const SHRINK_TRIES = 300

class Explorer {
  readonly #race: Race
  readonly #options: ReturnType<typeof resolveOptions>
  readonly #ground: Ground
  readonly #execution: Execution
  readonly #names: string[]
  readonly #began = realNow()
  readonly #outcomes = new Set<string>()
  readonly #search: PreemptionSearch
  readonly #oracle: SerialOracle
  #schedules = 0
  #space = 0
  #steps = 1
  #priorities: PrioritySearch | undefined

  constructor(race: Race, options: ReturnType<typeof resolveOptions>, ground: Ground) {
    this.#race = race
    this.#options = options
    this.#ground = ground
    this.#execution = new Execution(race, options, ground)
    this.#search = new PreemptionSearch(options)
    this.#names = Object.keys(race.definition.tasks)
    this.#oracle = new SerialOracle({
      names: this.#names,
      runSerially: async (order) => (await this.#execution.run(serially(order), order)).outcome,
      refused: race.definition.refused,
    })
  }

  async run(): Promise<Exploration> {
    // Thrown away: connections are opened, prepared and warmed, so that later runs take the same steps.
    await this.#execution.run(randomWalk(seeded(this.#options.seed)))
    for (const order of this.#oracle.orders()) {
      const first = await this.#oracle.serial(order)
      const { run, outcome: again } = await this.#execution.run(serially(order))
      this.#space = Math.max(this.#space, interleavings(run.choices))
      this.#steps = Math.max(this.#steps, run.choices.length)
      if (!sameOutcome(first, again))
        throw new ScheduleDivergedError(
          0,
          `the serial order ${order.map((index) => this.#names[index]).join(', then ')} gave two different outcomes: the tasks or setup are not deterministic`,
        )
      this.#schedules += 2
    }
    const { replay } = this.#options
    const finding = replay === undefined ? await this.#explore() : await this.#replay(replay)
    return { report: this.#report(finding), serial: this.#oracle.seen() }
  }

  async #replay(text: string): Promise<RaceFinding | undefined> {
    const wanted = decodeSchedule(text, this.#names.length)
    const choose = follow(wanted, (task) => `task ${this.#names[task]} should go on and cannot`)
    return (await this.#try(choose)).finding
  }

  async #explore(): Promise<RaceFinding | undefined> {
    const random = seeded(this.#options.seed)
    const priorities = new PrioritySearch({ tasks: this.#names.length, steps: this.#steps, random })
    this.#priorities = priorities
    while (this.#schedules < this.#options.schedules && this.#seconds() < this.#options.seconds) {
      const turn = this.#search.next()
      if (turn === undefined) return undefined
      if (turn.kind !== 'prefix') {
        const choose = turn.kind === 'walk' ? randomWalk(random) : priorities.next()
        const { run, finding } = await this.#try(choose)
        if (finding !== undefined) return this.#shrink(finding, preemptions(run.choices, run.ready))
      } else {
        const finding = await this.#follow(turn.prefix)
        if (finding !== undefined) return finding
      }
    }
    return undefined
  }

  async #follow(prefix: Prefix): Promise<RaceFinding | undefined> {
    const { run, finding } = await this.#try(
      follow(
        prefix.choices,
        (task) =>
          `task ${this.#names[task]} was ready there before and is not now: the code is not deterministic`,
      ),
    )
    this.#space = Math.max(this.#space, interleavings(run.choices))
    this.#search.learn(prefix, run, this.#execution.footprints(run))
    return finding
  }

  /** A finding of a random walk has more preemptions than it needs: look with fewer, from what the search has not yet tried. */
  async #shrink(found: RaceFinding, count: number): Promise<RaceFinding> {
    for (let tries = 0; tries < SHRINK_TRIES; tries += 1) {
      if ((this.#search.fewest()?.preemptions ?? count) >= count) return found
      const finding = await this.#follow(this.#search.take() as Prefix)
      if (finding !== undefined) return finding
    }
    return found
  }

  async #try(choose: Choose): Promise<{ run: Run; finding: RaceFinding | undefined }> {
    this.#schedules += 1
    const { run, outcome, violated } = await this.#execution.run(choose)
    this.#outcomes.add(JSON.stringify(outcome))
    const why = violated ?? (await this.#oracle.whyNot(run, outcome))
    return {
      run,
      finding: why === undefined ? undefined : this.#finding(run, outcome, why, violated !== undefined),
    }
  }

  #finding(run: Run, outcome: Outcome, explanation: string, violated: boolean): RaceFinding {
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
      remedy: this.#ground.remedyFor?.(anomaly) ?? diagnosis.remedy,
      anomaly,
      explanation,
      remedies: [],
      schedule: encodeSchedule(run.choices),
      preemptions: preemptions(run.choices, run.ready),
      steps: run.steps,
      deadlock: run.deadlock,
      outcome,
      serial: this.#oracle.seen(),
    }
  }

  #report(finding: RaceFinding | undefined): RaceReport {
    const sorted = [...this.#execution.blockedAfterMs].sort((a, b) => a - b)
    return {
      name: this.#race.name,
      tasks: this.#names,
      ok: finding === undefined,
      finding,
      coverage: {
        schedules: this.#schedules,
        outcomes: this.#outcomes.size,
        estimatedSpace: this.#space,
        exhaustive: this.#search.extent === 'every schedule',
        upToEquivalence: this.#search.extent !== 'bounded',
        preemptionBound: this.#search.bound,
        priorities: this.#priorities?.bounds() ?? [],
        prioritySteps: this.#steps,
        seconds: this.#seconds(),
        blockedP50Ms: sorted[Math.floor(sorted.length / 2)],
      },
    }
  }

  #seconds(): number {
    return (realNow() - this.#began) / 1_000
  }
}
