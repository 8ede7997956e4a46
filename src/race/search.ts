import { ScheduleDivergedError } from './errors.ts'
import { preemptions } from './schedule.ts'
import type { Choose, Run } from './scheduler.ts'

/** Follow these choices, then go on without preemption. */
export interface Prefix {
  readonly choices: readonly number[]
  readonly preemptions: number
}

/** What to run next: a prefix of the systematic search, a random walk, or a schedule of random priorities. */
export type Turn =
  | { readonly kind: 'prefix'; readonly prefix: Prefix }
  | { readonly kind: 'walk' }
  | { readonly kind: 'priorities' }

/** Every so many schedules one is random: deep races do not have to wait for the systematic search. */
const RANDOM_EVERY = 3

/**
 * Which schedule comes next: those with no preemption, then with one, with two, and so on, and random ones in between.
 * Each run that followed a prefix yields one longer prefix per choice that it could have made otherwise. Pure.
 * @see Musuvathi, Qadeer 2007, Iterative Context Bounding for Systematic Testing of Multithreaded Programs
 */
export class PreemptionSearch {
  readonly #levels: Prefix[][] = [[{ choices: [], preemptions: 0 }]]
  #turns = 0

  /** Undefined when every schedule was run. */
  next(): Turn | undefined {
    const prefix = this.fewest()
    if (prefix === undefined) return undefined
    const turn = this.#turns++
    if (turn % RANDOM_EVERY === RANDOM_EVERY - 1) {
      return { kind: turn % (2 * RANDOM_EVERY) < RANDOM_EVERY ? 'walk' : 'priorities' }
    }
    return { kind: 'prefix', prefix: this.take() as Prefix }
  }

  /** The prefix with the fewest preemptions that was not run. */
  fewest(): Prefix | undefined {
    return this.#levels.find((prefixes) => prefixes.length > 0)?.[0]
  }

  take(): Prefix | undefined {
    return this.#levels.find((prefixes) => prefixes.length > 0)?.shift()
  }

  /** Every schedule with at most so many preemptions was run. */
  get bound(): number {
    return Math.max(0, (this.fewest()?.preemptions ?? this.#levels.length) - 1)
  }

  learn(prefix: Prefix, { choices, ready }: Pick<Run, 'choices' | 'ready'>): void {
    for (let at = prefix.choices.length; at < choices.length; at += 1) {
      for (const other of ready[at] ?? []) {
        if (other === choices[at]) continue
        const longer = [...choices.slice(0, at), other]
        const count = preemptions(longer, ready)
        while (this.#levels.length <= count) this.#levels.push([])
        this.#levels[count]?.push({ choices: longer, preemptions: count })
      }
    }
  }
}

/** The task that moved last goes on while it can, else the first that is ready. */
export function goOn(ready: readonly number[], last: number | undefined): number {
  return last !== undefined && ready.includes(last) ? last : (ready[0] as number)
}

/** Makes these choices, then goes on without preemption. @throws ScheduleDivergedError where one is not ready */
export function follow(choices: readonly number[], whyNotReady: (task: number) => string): Choose {
  return (ready, last, at) => {
    const choice = choices[at]
    if (choice === undefined) return goOn(ready, last)
    if (!ready.includes(choice)) throw new ScheduleDivergedError(at + 1, whyNotReady(choice))
    return choice
  }
}

export function serially(order: readonly number[]): Choose {
  return (ready) => order.find((index) => ready.includes(index)) ?? (ready[0] as number)
}

export function randomWalk(random: () => number): Choose {
  return (ready) => ready[Math.floor(random() * ready.length)] as number
}

/** How many orders the steps of a run have when each task keeps its own order. */
export function interleavings(choices: readonly number[]): number {
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
