import { messageOf } from '../core/thrown.ts'
import { RaceSetupError } from './errors.ts'
import { type Footprint, footprintsOf } from './footprint.ts'
import type { Row } from './generated-ids.ts'
import type { Ground } from './ground.ts'
import { type Outcome, outcomeOf, type Tables } from './outcome.ts'
import type { Race, RaceDatabase, ResolvedOptions } from './race.ts'
import { seeded } from './random.ts'
import type { Relations } from './relations.ts'
import { encodeSchedule } from './schedule.ts'
import { type Choose, type Run, Scheduler } from './scheduler.ts'
import { beat, watchSpinning } from './spin-watch.ts'
import { stayAwake } from './virtual.ts'

/** What came of one schedule. */
export interface Executed {
  readonly run: Run
  readonly outcome: Outcome
  /** What the user's invariant said against it. */
  readonly violated: string | undefined
}

export type ExecutionOptions = Pick<ResolvedOptions, 'seed' | 'stallMs' | 'spinMs'>

/** Runs schedules of one race: set-up, tasks, rows, invariant. */
export class Execution {
  /** Milliseconds from sending a statement to knowing that it is blocked, one entry each. */
  readonly blockedAfterMs: number[] = []
  readonly #race: Race
  readonly #options: ExecutionOptions
  readonly #names: readonly string[]
  readonly #ground: Ground
  #tables: Tables | undefined
  #before: readonly Row[] = []
  #relations: Relations | undefined
  /** While tasks run. */
  #scheduler: Scheduler | undefined

  constructor(race: Race, options: ExecutionOptions, ground: Ground) {
    this.#race = race
    this.#names = Object.keys(race.definition.tasks)
    this.#options = options
    this.#ground = ground
  }

  /** `only`: the tasks that run; the others return at once. */
  async run(choose: Choose, only?: readonly number[]): Promise<Executed> {
    const rest = stayAwake(beat)
    const unwatch = watchSpinning({
      race: this.#race.name,
      names: this.#names,
      limitMs: this.#options.spinMs,
      what: (task) => this.#what(task),
    })
    try {
      return await this.#run(choose, only)
    } finally {
      unwatch()
      rest()
    }
  }

  /** What runs, for who has to say it. */
  #what(of: string | undefined): string {
    if (this.#scheduler === undefined) return '`setup` or `invariant`'
    const { task, choices } = this.#scheduler.now
    return `task ${of ?? task} (schedule ${encodeSchedule(choices)} so far, seed ${this.#options.seed})`
  }

  async #run(choose: Choose, only?: readonly number[]): Promise<Executed> {
    const { tasks, invariant } = this.#race.definition
    const { seed, stallMs } = this.#options
    const ground = this.#ground
    await this.#setUp()
    if (this.#tables === undefined) {
      this.#tables = await ground.findTables()
      this.#before = await ground.readRows(this.#tables)
      this.#relations = await ground.readRelations?.()
    }
    const scheduler = new Scheduler({
      names: this.#names,
      bodies: Object.values(tasks).map((task, index) =>
        only === undefined || only.includes(index) ? ground.body(index, task) : () => undefined,
      ),
      random: (index) => seeded(seed * 31 + index),
      waits: ground.waits(this.blockedAfterMs),
      stallMs,
    })
    this.#scheduler = scheduler
    const run = await scheduler.run(choose)
    this.#scheduler = undefined
    await ground.settle()
    const outcome = outcomeOf(run, await ground.readRows(this.#tables), this.#before, this.#tables)
    return {
      run,
      outcome,
      violated: invariant === undefined ? undefined : await violation(invariant, ground.db),
    }
  }

  async #setUp(): Promise<void> {
    const { name, definition } = this.#race
    try {
      await definition.setup?.(this.#ground.db)
    } catch (error) {
      throw new RaceSetupError(name, error)
    }
  }

  /** Which steps of a run are independent; undefined where that is not known. */
  footprints({ transitions }: Run): readonly Footprint[] | undefined {
    return this.#relations === undefined ? undefined : footprintsOf(transitions, this.#relations)
  }
}

async function violation(
  invariant: (db: RaceDatabase) => unknown,
  db: RaceDatabase,
): Promise<string | undefined> {
  try {
    return (await invariant(db)) === false ? 'the invariant is false' : undefined
  } catch (error) {
    return `the invariant failed: ${messageOf(error)}`
  }
}
