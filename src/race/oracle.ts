import { type Outcome, sameOutcome } from './outcome.ts'
import { isRefusal } from './refusal.ts'
import type { Run } from './scheduler.ts'

export interface OracleParts {
  readonly names: readonly string[]
  /** Runs these tasks one after the other, and only these. */
  readonly runSerially: (order: readonly number[]) => Promise<Outcome>
  /** The user's own refusals, beside those of the database. */
  readonly refused: ((error: unknown) => boolean) | undefined
}

/** Knows what serial orders of the tasks do, and whether one of them explains an outcome. That is all it needs to be right. */
export class SerialOracle {
  readonly #parts: OracleParts
  readonly #known = new Map<string, Outcome>()

  constructor(parts: OracleParts) {
    this.#parts = parts
  }

  /** Every order of all tasks. */
  orders(): number[][] {
    return permutations(this.#parts.names.map((_, index) => index))
  }

  /** What this order did elsewhere. */
  know(order: readonly number[], outcome: Outcome): void {
    this.#known.set(order.join(), outcome)
  }

  async serial(order: readonly number[]): Promise<Outcome> {
    const key = order.join()
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const outcome = await this.#parts.runSerially(order)
    this.#known.set(key, outcome)
    return outcome
  }

  /** What the orders of all tasks did, as far as they were run. */
  seen(): { readonly order: readonly string[]; readonly outcome: Outcome }[] {
    return this.orders().flatMap((order) => {
      const outcome = this.#known.get(order.join())
      return outcome === undefined ? [] : [{ order: this.#names(order), outcome }]
    })
  }

  /** Undefined when some serial order of the tasks that succeeded explains the outcome; else a sentence. */
  async whyNot(run: Pick<Run, 'results'>, outcome: Outcome): Promise<string | undefined> {
    for (const order of this.orders()) if (sameOutcome(await this.serial(order), outcome)) return undefined
    const all = this.#parts.names.map((_, index) => index)
    const failed = all.filter((index) => outcome.errors[index] !== undefined)
    for (const index of failed) {
      const { error } = run.results[index] as { error: unknown }
      if (isRefusal(error) || this.#parts.refused?.(error) === true) continue
      if (!(await this.#failsSerially(index, outcome.errors[index] as string)))
        return `task ${this.#parts.names[index]} failed with "${outcome.errors[index]}", which no serial order does`
    }
    if (failed.length === 0) return 'the rows or returned values are those of no serial order'
    const done = all.filter((index) => !failed.includes(index))
    for (const order of permutations(done)) {
      const serial = await this.serial(order)
      if (serial.rows === outcome.rows && done.every((i) => serial.values[i] === outcome.values[i]))
        return undefined
    }
    return 'the rows or returned values are those of no serial order of the tasks that succeeded'
  }

  /** What the code itself says no to, such as "not enough money", it also says in some serial order. */
  async #failsSerially(index: number, error: string): Promise<boolean> {
    for (const order of this.orders()) if ((await this.serial(order)).errors[index] === error) return true
    return false
  }

  #names(order: readonly number[]): string[] {
    return order.map((index) => this.#parts.names[index] as string)
  }
}

export function permutations(items: readonly number[]): number[][] {
  if (items.length <= 1) return [[...items]]
  return items.flatMap((item) =>
    permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]),
  )
}
