/** The search: serial orders first, then by number of preemptions with random schedules in between. */
import { ScheduleDivergedError } from './errors.ts'
import { inOrder } from './in-order.ts'
import { permutations } from './oracle.ts'
import { type Outcome, sameOutcome } from './outcome.ts'
import { PrioritySearch } from './priorities.ts'
import type { ResolvedOptions } from './race.ts'
import { seedOf } from './random.ts'
import type { Exploration } from './remedy/try-remedies.ts'
import type { RaceFinding, RaceReport } from './report.ts'
import { decodeSchedule, preemptions } from './schedule.ts'
import { interleavings, PreemptionSearch, type Prefix } from './search.ts'
import type { Ran, Runner, SerialOutcome, Unit } from './unit.ts'
import { realNow } from './virtual.ts'

/** How many schedules a finding with many preemptions is worth. */
const SHRINK_TRIES = 300

interface Planned {
  readonly unit: Unit
  /** What is learned from, for one of the systematic search. */
  readonly prefix?: Prefix
}

/**
 * Decides which schedule comes next and what all of them show; a `Runner` runs them. The report is the same for every runner:
 * results are learned in the order in which units were planned.
 */
export class Explorer {
  readonly #name: string
  readonly #names: readonly string[]
  readonly #options: ResolvedOptions
  readonly #runner: Runner
  readonly #began = realNow()
  readonly #outcomes = new Set<string>()
  readonly #search: PreemptionSearch
  readonly #serial = new Map<string, Outcome>()
  readonly #blockedAfterMs: number[] = []
  #schedules = 0
  #space = 0
  #steps = 1
  #priorities: PrioritySearch | undefined

  constructor(name: string, names: readonly string[], options: ResolvedOptions, runner: Runner) {
    this.#name = name
    this.#names = names
    this.#options = options
    this.#runner = runner
    this.#search = new PreemptionSearch(options)
  }

  async run(): Promise<Exploration> {
    await this.#runSerially()
    const { replay } = this.#options
    const finding = replay === undefined ? await this.#explore() : await this.#replay(replay)
    return { report: this.#report(finding), serial: this.#seen() }
  }

  /** Every serial order, twice. */
  async #runSerially(): Promise<void> {
    const orders = permutations(this.#names.map((_, index) => index))
    const units = orders.flatMap((order) => [order, order]).values()
    await inOrder<readonly number[], Ran>({
      width: this.#runner.width,
      next: () => units.next().value,
      run: (order) => this.#run({ kind: 'serial', order }),
      learn: (order, ran) => {
        this.#schedules += 1
        this.#note(ran)
        this.#space = Math.max(this.#space, interleavings(ran.choices))
        this.#steps = Math.max(this.#steps, ran.choices.length)
        const key = order.join()
        const before = this.#serial.get(key)
        if (before !== undefined && !sameOutcome(before, ran.outcome))
          throw new ScheduleDivergedError(
            0,
            `the serial order ${this.#namesOf(order).join(', then ')} gave two different outcomes: the tasks or setup are not deterministic, or there is no setup that undoes what the last run left`,
          )
        this.#serial.set(key, ran.outcome)
        return false
      },
    })
    this.#runner.know(this.#knownSerial(orders))
  }

  #run(unit: Unit): Promise<Ran> {
    this.#options.signal?.throwIfAborted()
    return this.#runner.run(unit)
  }

  #note({ blockedAfterMs }: Ran): void {
    this.#blockedAfterMs.push(...blockedAfterMs)
  }

  async #replay(text: string): Promise<RaceFinding | undefined> {
    const ran = await this.#run({ kind: 'replay', choices: decodeSchedule(text, this.#names.length) })
    this.#learn({ unit: { kind: 'replay', choices: [] } }, ran)
    return ran.finding
  }

  async #explore(): Promise<RaceFinding | undefined> {
    const priorities = new PrioritySearch({ tasks: this.#names.length, steps: this.#steps })
    this.#priorities = priorities
    const { schedules, seconds } = this.#options
    const isLeft = (ahead: number): boolean =>
      this.#schedules + ahead < schedules && this.#seconds() < seconds
    const first = await this.#until((ahead) => (isLeft(ahead) ? this.#next(priorities) : undefined))
    if (first === undefined) return undefined
    const { planned, finding, ran } = first
    return planned.prefix === undefined
      ? await this.#shrink(finding, preemptions(ran.choices, ran.ready))
      : finding
  }

  #next(priorities: PrioritySearch): Planned | undefined {
    const turn = this.#search.next()
    if (turn === undefined) return undefined
    if (turn.kind === 'prefix') return planOf(turn.prefix)
    const seed = seedOf(this.#options.seed, turn.number)
    return turn.kind === 'walk'
      ? { unit: { kind: 'walk', seed } }
      : { unit: { kind: 'priorities', seed, depth: priorities.next(), steps: priorities.steps } }
  }

  /** A finding of a random schedule has more preemptions than it needs: look with fewer, from what the search has not yet tried. */
  async #shrink(found: RaceFinding, count: number): Promise<RaceFinding> {
    let tries = 0
    const smaller = await this.#until(() => {
      const isLeft = tries < SHRINK_TRIES && this.#seconds() < this.#options.seconds
      const prefix = isLeft ? this.#search.takeBelow(count) : undefined
      if (prefix === undefined) return undefined
      tries += 1
      return planOf(prefix)
    })
    return smaller?.finding ?? found
  }

  /** Runs what `next` plans until something is found, and learns from it. */
  async #until(
    next: (ahead: number) => Planned | undefined,
  ): Promise<{ planned: Planned; ran: Ran; finding: RaceFinding } | undefined> {
    let first: { planned: Planned; ran: Ran; finding: RaceFinding } | undefined
    await inOrder<Planned, Ran>({
      width: this.#runner.width,
      next,
      run: ({ unit }) => this.#run(unit),
      learn: (planned, ran, rest) => {
        const { finding } = ran
        if (finding !== undefined) {
          this.#search.giveBack(rest.flatMap(({ prefix }) => prefix ?? []))
          first = { planned, ran, finding }
        }
        this.#learn(planned, ran)
        return first !== undefined
      },
    })
    return first
  }

  #learn({ unit, prefix }: Planned, ran: Ran): void {
    this.#schedules += 1
    this.#outcomes.add(JSON.stringify(ran.outcome))
    this.#note(ran)
    if (unit.kind === 'priorities') this.#priorities?.ran(unit.depth)
    if (prefix === undefined) return
    this.#space = Math.max(this.#space, interleavings(ran.choices))
    this.#search.learn(prefix, ran, ran.footprints)
  }

  #report(finding: RaceFinding | undefined): RaceReport {
    const sorted = this.#blockedAfterMs.sort((a, b) => a - b)
    return {
      name: this.#name,
      tasks: this.#names,
      ok: finding === undefined,
      finding,
      failing: this.#failing(),
      coverage: {
        schedules: this.#schedules,
        outcomes: this.#outcomes.size,
        estimatedSpace: this.#space,
        replayed: this.#options.replay !== undefined,
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

  #failing(): RaceReport['failing'] {
    const outcomes = [...this.#serial.values()]
    return this.#names.flatMap((task, index) => {
      const errors = outcomes.flatMap(({ errors }) => errors[index] ?? [])
      const [error] = errors
      return error !== undefined && errors.length === outcomes.length ? [{ task, error }] : []
    })
  }

  #knownSerial(orders: readonly (readonly number[])[]): SerialOutcome[] {
    return orders.map((order) => ({ order, outcome: this.#serial.get(order.join()) as Outcome }))
  }

  #seen(): Exploration['serial'] {
    const orders = permutations(this.#names.map((_, index) => index))
    return this.#knownSerial(orders).map(({ order, outcome }) => ({ order: this.#namesOf(order), outcome }))
  }

  #namesOf(order: readonly number[]): string[] {
    return order.map((index) => this.#names[index] as string)
  }

  #seconds(): number {
    return (realNow() - this.#began) / 1_000
  }
}

function planOf(prefix: Prefix): Planned {
  return { unit: { kind: 'prefix', choices: prefix.choices }, prefix }
}
