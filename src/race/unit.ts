/** One schedule to run, and what came of it, as plain data: both may cross to another process. */
import type { Footprint } from './footprint.ts'
import type { Outcome } from './outcome.ts'
import { byPriority } from './priorities.ts'
import { seeded } from './random.ts'
import type { RaceFinding } from './report.ts'
import type { Choose } from './scheduler.ts'
import { follow, randomWalk, serially } from './search.ts'

export type Unit =
  | { readonly kind: 'serial'; readonly order: readonly number[] }
  | { readonly kind: 'prefix' | 'replay'; readonly choices: readonly number[] }
  | { readonly kind: 'walk'; readonly seed: number }
  | { readonly kind: 'priorities'; readonly seed: number; readonly depth: number; readonly steps: number }

/** What came of a unit. */
export interface Ran {
  readonly choices: readonly number[]
  /** Which tasks could have been chosen, per choice. */
  readonly ready: readonly (readonly number[])[]
  /** One per choice; undefined where the steps are not understood. */
  readonly footprints: readonly Footprint[] | undefined
  readonly outcome: Outcome
  /** Undefined for a serial order, which is not judged. */
  readonly finding: RaceFinding | undefined
  /** Milliseconds from sending a statement to knowing that it is blocked, one entry each. */
  readonly blockedAfterMs: readonly number[]
}

/** What a serial order did. */
export interface SerialOutcome {
  readonly order: readonly number[]
  readonly outcome: Outcome
}

/** Runs units: here, or in other processes. */
export interface Runner {
  /** How many units may be under way at once. */
  readonly width: number
  /** @throws what the schedule ends with: a divergence, an uncontrolled await, an error of `setup` */
  run(unit: Unit): Promise<Ran>
  /** What the serial orders did, by which all other units are judged. */
  know(serial: readonly SerialOutcome[]): void
}

/** Who takes which step. `names` are those of the tasks. */
export function chooseOf(unit: Unit, names: readonly string[]): Choose {
  switch (unit.kind) {
    case 'serial':
      return serially(unit.order)
    case 'prefix':
      return follow(
        unit.choices,
        (task) => `task ${names[task]} was ready there before and is not now: the code is not deterministic`,
      )
    case 'replay':
      return follow(unit.choices, (task) => `task ${names[task]} should go on and cannot`)
    case 'walk':
      return randomWalk(seeded(unit.seed))
    case 'priorities':
      return byPriority({ ...unit, tasks: names.length, random: seeded(unit.seed) })
  }
}
