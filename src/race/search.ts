import { ScheduleDivergedError } from './errors.ts'
import { type Footprint, independent } from './footprint.ts'
import { preemptions } from './schedule.ts'
import type { Choose, Run } from './scheduler.ts'

/** Follow these choices, then go on without preemption. */
export interface Prefix {
  readonly choices: readonly number[]
  readonly preemptions: number
  /** Where its last choice was made. */
  readonly from?: Node
  /** It differs from schedules that are run anyway only by the order of independent steps. */
  readonly equivalent: boolean
}

/** Prefixes that were handed out and not yet learned: all from one level of one of the queues. */
interface Out {
  readonly levels: Levels
  readonly preemptions: number
  count: number
}

/** A place where several tasks could go on. */
interface Node {
  /** Tasks whose next step was run from an earlier place, and nothing since then depends on it. */
  readonly asleep: ReadonlyMap<number, Footprint>
  /** Tasks whose next step was run from here. */
  readonly done: Map<number, Footprint>
}

/** What to run next: a prefix of the systematic search, a random walk, or a schedule of random priorities. */
export type Turn =
  | { readonly kind: 'prefix'; readonly prefix: Prefix }
  | { readonly kind: 'walk'; readonly number: number }
  | { readonly kind: 'priorities'; readonly number: number }

/** Every so many schedules one is random: deep races do not have to wait for the systematic search. */
const RANDOM_EVERY = 3

/** Up to so many preemptions, equivalent schedules are run in their turn. */
const PLAIN_PREEMPTIONS = 2

/**
 * Which schedule comes next: those with no preemption, then with one, with two, and so on, and random ones in between.
 * Each run that followed a prefix yields one longer prefix per choice that it could have made otherwise. Sleep sets tell which
 * of these can only lead to what others lead to by another order of independent steps; beyond two preemptions such a prefix
 * comes after all others, or not at all. Pure.
 *
 * Prefixes may be taken while others have not been learned. What is taken is the same for any number of these, as long as
 * they are learned in the order in which they were taken: a prefix is handed out beside others of its own level only, and what
 * is learned from these comes behind it.
 * @see Musuvathi, Qadeer 2007, Iterative Context Bounding for Systematic Testing of Multithreaded Programs
 * @see Godefroid 1996, Partial-Order Methods for the Verification of Concurrent Systems, chapter 5 (sleep sets)
 */
export class PreemptionSearch {
  readonly #levels = new Levels()
  readonly #equivalent = new Levels()
  readonly #skips: boolean
  #turns = 0
  #out: Out | undefined
  /** False once a run has shown that its steps are not understood. */
  #understands = true

  /** `skipEquivalent`: a schedule that differs from one that is run only by the order of independent steps is not run. */
  constructor({ skipEquivalent = false }: { skipEquivalent?: boolean } = {}) {
    this.#skips = skipEquivalent
    this.#levels.add({ choices: [], preemptions: 0, equivalent: false })
  }

  /** Undefined when nothing is left to run until more is learned, and for good when all was. */
  next(): Turn | undefined {
    const from = this.#due()
    if (from.fewest() === undefined) return undefined
    const number = this.#turns
    if (number % RANDOM_EVERY === RANDOM_EVERY - 1) {
      this.#turns += 1
      return { kind: number % (2 * RANDOM_EVERY) < RANDOM_EVERY ? 'walk' : 'priorities', number }
    }
    const prefix = this.#take(from)
    if (prefix === undefined) return undefined
    this.#turns += 1
    return { kind: 'prefix', prefix }
  }

  #take(levels: Levels): Prefix | undefined {
    const prefix = levels.fewest()
    if (prefix === undefined) return undefined
    const out = this.#out ?? { levels, preemptions: prefix.preemptions, count: 0 }
    this.#out = out
    if (out.levels !== levels || out.preemptions !== prefix.preemptions) return undefined
    out.count += 1
    return levels.take()
  }

  #isBack(): void {
    if (this.#out === undefined) return
    this.#out.count -= 1
    if (this.#out.count === 0) this.#out = undefined
  }

  #due(): Levels {
    if (this.#skips) return this.#levels
    const [first, other] = [this.#levels.fewest(), this.#equivalent.fewest()]
    if (other === undefined || first === undefined)
      return other === undefined ? this.#levels : this.#equivalent
    return other.preemptions <= PLAIN_PREEMPTIONS && other.preemptions < first.preemptions
      ? this.#equivalent
      : this.#levels
  }

  #fewest(): Levels {
    const [first, other] = [this.#levels.fewest(), this.#equivalent.fewest()]
    return other !== undefined && other.preemptions < (first?.preemptions ?? Number.POSITIVE_INFINITY)
      ? this.#equivalent
      : this.#levels
  }

  /** The prefix with the fewest preemptions that was not run, equivalent or not. */
  fewest(): Prefix | undefined {
    return this.#fewest().fewest()
  }

  /** That prefix, if it has fewer preemptions than this. Undefined also until more is learned. */
  takeBelow(limit: number): Prefix | undefined {
    const from = this.#fewest()
    return (from.fewest()?.preemptions ?? limit) < limit ? this.#take(from) : undefined
  }

  /** Those that were taken last and will not be run, in the order in which they were taken. */
  giveBack(prefixes: readonly Prefix[]): void {
    for (const prefix of [...prefixes].reverse()) {
      const levels = this.#understands && prefix.equivalent ? this.#equivalent : this.#levels
      levels.return(prefix)
      this.#isBack()
    }
  }

  /** Every schedule with at most so many preemptions was run. */
  get bound(): number {
    return Math.max(
      0,
      (this.fewest()?.preemptions ?? Math.max(this.#levels.depth, this.#equivalent.depth)) - 1,
    )
  }

  /** How far the search has come. */
  get extent(): 'every schedule' | 'up to equivalence' | 'bounded' {
    if (this.#levels.fewest() !== undefined) return 'bounded'
    return this.#equivalent.fewest() === undefined ? 'every schedule' : 'up to equivalence'
  }

  /** `footprints`: one per choice; undefined where the steps of this run are not understood, and then none are any more. */
  learn(
    prefix: Prefix,
    { choices, ready }: Pick<Run, 'choices' | 'ready'>,
    footprints?: readonly Footprint[],
  ): void {
    this.#isBack()
    if (footprints === undefined) this.#stopSkipping()
    const made = (at: number): Footprint => (this.#understands ? footprints?.[at] : undefined) ?? 'everything'
    const begin = prefix.choices.length
    let equivalent = this.#understands && prefix.equivalent
    let asleep = begin === 0 ? new Map<number, Footprint>() : wake(prefix, made(begin - 1))
    for (let at = begin; at < choices.length; at += 1) {
      const [choice, footprint] = [choices[at] as number, made(at)]
      const node: Node = { asleep, done: new Map([[choice, footprint]]) }
      for (const other of ready[at] ?? []) {
        if (other === choice) continue
        const longer = [...choices.slice(0, at), other]
        const [levels, as] =
          equivalent || asleep.has(other) ? [this.#equivalent, true] : [this.#levels, false]
        levels.add({ choices: longer, preemptions: preemptions(longer, ready), from: node, equivalent: as })
      }
      equivalent ||= asleep.has(choice)
      asleep = still(asleep, choice, footprint)
    }
  }

  /** What was set aside comes in its turn. */
  #stopSkipping(): void {
    this.#understands = false
    for (let prefix = this.#equivalent.take(); prefix !== undefined; prefix = this.#equivalent.take())
      this.#levels.add({ ...prefix, equivalent: false })
  }
}

/** Prefixes by their number of preemptions. */
class Levels {
  readonly #levels: Prefix[][] = []

  get depth(): number {
    return this.#levels.length
  }

  add(prefix: Prefix): void {
    while (this.#levels.length <= prefix.preemptions) this.#levels.push([])
    this.#levels[prefix.preemptions]?.push(prefix)
  }

  /** Before all others of its level. */
  return(prefix: Prefix): void {
    this.#levels[prefix.preemptions]?.unshift(prefix)
  }

  fewest(): Prefix | undefined {
    return this.#levels.find((prefixes) => prefixes.length > 0)?.[0]
  }

  take(): Prefix | undefined {
    return this.#levels.find((prefixes) => prefixes.length > 0)?.shift()
  }
}

/** Who sleeps after the last choice of a prefix that was just run; the choice now counts as run from there. */
function wake({ choices, from }: Prefix, footprint: Footprint): Map<number, Footprint> {
  const choice = choices.at(-1) as number
  if (from === undefined) return new Map()
  const asleep = still(new Map([...from.asleep, ...from.done]), choice, footprint)
  from.done.set(choice, footprint)
  return asleep
}

function still(
  asleep: ReadonlyMap<number, Footprint>,
  choice: number,
  footprint: Footprint,
): Map<number, Footprint> {
  return new Map([...asleep].filter(([task, other]) => task !== choice && independent(other, footprint)))
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

/**
 * One after the other: nobody begins before the one before has ended, also while that one waits for what is not governed. The
 * tasks that the order leaves out do nothing, and come last.
 */
export function serially(order: readonly number[]): Choose {
  return (ready, _last, _at, unended) => {
    const due = order.find((index) => unended.includes(index))
    if (due === undefined) return ready[0]
    return ready.includes(due) ? due : undefined
  }
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
