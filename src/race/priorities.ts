/** Random priorities: schedules that find a race of few ordering constraints with a known probability. */
import type { Choose } from './scheduler.ts'

/**
 * How likely it is that a race of this depth was missed: one that shows whenever `depth` steps come in a certain order. A
 * lost update has depth 2.
 */
export interface PriorityBound {
  readonly depth: number
  readonly schedules: number
  /** At most this probability, for a race within the first `PrioritySearch.steps` choices. */
  readonly missedAtMost: number
}

const DEPTHS = [2, 3]

/**
 * Each schedule gives the tasks random priorities and always moves the highest one that is ready; at `depth - 1` random
 * choices the task that would move falls below all others. Depths take turns. One schedule finds a race of its depth among
 * n tasks and k choices with probability 1 / (n * k^(depth - 1)) or more.
 *
 * @see Burckhardt, Kothari, Musuvathi, Nagarakatte 2010, A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs
 */
export class PrioritySearch {
  readonly steps: number
  readonly #tasks: number
  readonly #schedules = new Map(DEPTHS.map((depth) => [depth, 0]))
  #turns = 0

  /** `steps`: how many choices a schedule is expected to have. */
  constructor({ tasks, steps }: { tasks: number; steps: number }) {
    this.steps = Math.max(1, steps)
    this.#tasks = tasks
  }

  /** The depth of the next schedule. */
  next(): number {
    return DEPTHS[this.#turns++ % DEPTHS.length] as number
  }

  /** A schedule of this depth was run. */
  ran(depth: number): void {
    this.#schedules.set(depth, (this.#schedules.get(depth) ?? 0) + 1)
  }

  /** What has been shown so far, per depth that was tried. */
  bounds(): readonly PriorityBound[] {
    return [...this.#schedules]
      .filter(([, schedules]) => schedules > 0)
      .map(([depth, schedules]) => ({
        depth,
        schedules,
        missedAtMost: (1 - 1 / (this.#tasks * this.steps ** (depth - 1))) ** schedules,
      }))
  }
}

/** One schedule of `PrioritySearch`. */
export function byPriority({
  tasks,
  steps,
  depth,
  random,
}: {
  readonly tasks: number
  readonly steps: number
  readonly depth: number
  readonly random: () => number
}): Choose {
  // Initial priorities are `depth` and above; the i-th change leaves the task with priority depth - 1 - i, below them all.
  const priorities = shuffled(
    Array.from({ length: tasks }, (_, index) => depth + index),
    random,
  )
  const changes = Array.from({ length: depth - 1 }, () => Math.floor(random() * steps))
  return (ready, _last, at) => {
    const highest = (): number =>
      ready.reduce((best, task) =>
        (priorities[task] as number) > (priorities[best] as number) ? task : best,
      )
    changes.forEach((change, index) => {
      if (change === at) priorities[highest()] = depth - 1 - index
    })
    return highest()
  }
}

function shuffled<T>(items: T[], random: () => number): T[] {
  for (let at = items.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1))
    ;[items[at], items[other]] = [items[other] as T, items[at] as T]
  }
  return items
}
