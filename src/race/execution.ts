import { RaceSetupError } from './errors.ts'
import { type Footprint, footprintsOf } from './footprint.ts'
import type { Row } from './generated-ids.ts'
import type { Ground } from './ground.ts'
import { type Outcome, outcomeOf, type Tables } from './outcome.ts'
import type { Race, RaceDatabase } from './race.ts'
import { seeded } from './random.ts'
import type { Relations } from './relations.ts'
import { type Choose, type Run, Scheduler } from './scheduler.ts'
import { stayAwake } from './virtual.ts'

/** What came of one schedule. */
export interface Executed {
  readonly run: Run
  readonly outcome: Outcome
  /** What the user's invariant said against it. */
  readonly violated: string | undefined
}

/** Runs schedules of one race: set-up, tasks, rows, invariant. */
export class Execution {
  /** Milliseconds from sending a statement to knowing that it is blocked, one entry each. */
  readonly blockedAfterMs: number[] = []
  readonly #race: Race
  readonly #options: { readonly seed: number; readonly stallMs: number }
  readonly #ground: Ground
  #tables: Tables | undefined
  #before: readonly Row[] = []
  #relations: Relations | undefined

  constructor(race: Race, options: { readonly seed: number; readonly stallMs: number }, ground: Ground) {
    this.#race = race
    this.#options = options
    this.#ground = ground
  }

  /** `only`: the tasks that run; the others return at once. */
  async run(choose: Choose, only?: readonly number[]): Promise<Executed> {
    const rest = stayAwake()
    try {
      return await this.#run(choose, only)
    } finally {
      rest()
    }
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
      names: Object.keys(tasks),
      bodies: Object.values(tasks).map((task, index) =>
        only === undefined || only.includes(index) ? ground.body(index, task) : () => undefined,
      ),
      random: (index) => seeded(seed * 31 + index),
      waits: ground.waits(this.blockedAfterMs),
      stallMs,
    })
    const run = await scheduler.run(choose)
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
    return `the invariant failed: ${error instanceof Error ? error.message : String(error)}`
  }
}
