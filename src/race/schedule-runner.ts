import { diagnose } from './anomaly.ts'
import { type Executed, Execution, type ExecutionOptions } from './execution.ts'
import type { Ground } from './ground.ts'
import { SerialOracle } from './oracle.ts'
import type { Race } from './race.ts'
import type { RaceFinding } from './report.ts'
import { plain } from './returned.ts'
import { encodeSchedule, preemptions } from './schedule.ts'
import { serially } from './search.ts'
import { chooseOf, type Ran, type Runner, type SerialOutcome, type Unit } from './unit.ts'

/** Runs units in this process, one at a time, and judges what came of them. */
export class ScheduleRunner implements Runner {
  readonly width = 1
  readonly #ground: Ground
  readonly #execution: Execution
  readonly #names: readonly string[]
  readonly #oracle: SerialOracle
  #noted = 0

  /** Runs one schedule to begin with: connections are opened, prepared and warmed, so that later runs take the same steps. */
  static async open(race: Race, options: ExecutionOptions, ground: Ground): Promise<ScheduleRunner> {
    const runner = new ScheduleRunner(race, options, ground)
    await runner.#execution.run(chooseOf({ kind: 'walk', seed: options.seed }, runner.#names))
    return runner
  }

  private constructor(race: Race, options: ExecutionOptions, ground: Ground) {
    this.#ground = ground
    this.#execution = new Execution(race, options, ground)
    this.#names = Object.keys(race.definition.tasks)
    this.#oracle = new SerialOracle({
      names: this.#names,
      runSerially: async (order) => (await this.#execution.run(serially(order), order)).outcome,
      refused: race.definition.refused,
    })
  }

  know(serial: readonly SerialOutcome[]): void {
    for (const { order, outcome } of serial) this.#oracle.know(order, outcome)
  }

  async run(unit: Unit): Promise<Ran> {
    const executed = await this.#execution.run(chooseOf(unit, this.#names))
    const { run, outcome } = executed
    const { blockedAfterMs } = this.#execution
    const noted = this.#noted
    this.#noted = blockedAfterMs.length
    return {
      choices: run.choices,
      ready: run.ready,
      footprints: unit.kind === 'prefix' ? this.#execution.footprints(run) : undefined,
      outcome,
      finding: unit.kind === 'serial' ? undefined : await this.#judge(executed),
      blockedAfterMs: blockedAfterMs.slice(noted),
    }
  }

  async #judge({ run, outcome, violated }: Executed): Promise<RaceFinding | undefined> {
    const explanation = violated ?? (await this.#oracle.whyNot(run, outcome))
    if (explanation === undefined) return undefined
    const diagnosis = diagnose(run.steps, run.deadlock)
    const unnamed = diagnosis.anomaly === 'not serializable'
    const anomaly = !unnamed
      ? diagnosis.anomaly
      : violated !== undefined
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
      steps: run.steps.map((step) => ({ ...step, values: step.values.map(tellable) })),
      deadlock: run.deadlock,
      outcome,
      serial: this.#oracle.seen(),
    }
  }
}

/** A parameter as it may stand in JSON: a driver takes what JSON does not. */
function tellable(value: unknown): unknown {
  return typeof value === 'object' ? plain(value) : value
}
