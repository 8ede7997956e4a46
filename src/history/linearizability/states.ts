import { canonical } from '../../core/canonical.ts'
import type { Model, ModelOperation } from './model.ts'

/** No such step: the object could not have answered so in that state. */
export const REFUSED = -1

const UNKNOWN = -2
/** Up to this many different operations, the steps of a state are a row of a table, else entries of a map. */
const ROW_MAX = 512
const STATES_MAX = 50_000

/**
 * Numbers the states that a search meets, so that equal states have equal numbers, and remembers each step. A model is
 * asked once for a state and an operation.
 */
export class States {
  readonly #model: Model
  readonly #classes: readonly ModelOperation[]
  #states: unknown[] = []
  #numbers = new Map<string | number, number | number[]>()
  #rows: Int32Array[] = []
  #steps = new Map<number, number>()
  #keepMax = STATES_MAX

  constructor(model: Model, classes: readonly ModelOperation[]) {
    this.#model = model
    this.#classes = classes
  }

  initial(): number {
    return this.#number(this.#model.init())
  }

  state(number: number): unknown {
    return this.#states[number]
  }

  /** The number of the state after an operation of the class, or `REFUSED`. */
  step(state: number, operation: number): number {
    if (this.#classes.length <= ROW_MAX) {
      const row = this.#rows[state] as Int32Array
      const known = row[operation] as number
      if (known !== UNKNOWN) return known
      const next = this.#ask(state, operation)
      row[operation] = next
      return next
    }
    const at = state * this.#classes.length + operation
    const known = this.#steps.get(at)
    if (known !== undefined) return known
    const next = this.#ask(state, operation)
    this.#steps.set(at, next)
    return next
  }

  /** True when so many states were met that those which no configuration holds any more should be forgotten. */
  get crowded(): boolean {
    return this.#states.length > this.#keepMax || this.#steps.size > 1_000_000
  }

  /** Forgets all states but these and answers their new numbers. */
  keepOnly(live: Iterable<number>): Map<number, number> {
    const kept = new Map<number, number>()
    const states = this.#states
    this.#states = []
    this.#numbers = new Map()
    this.#rows = []
    this.#steps = new Map()
    for (const old of live) if (!kept.has(old)) kept.set(old, this.#number(states[old]))
    this.#keepMax = Math.max(STATES_MAX, 2 * kept.size)
    return kept
  }

  #ask(state: number, operation: number): number {
    const next = this.#model.step(this.#states[state], this.#classes[operation] as ModelOperation)
    return next === undefined ? REFUSED : this.#number(next)
  }

  #number(state: unknown): number {
    const { hash, equal } = this.#model
    const key =
      hash !== undefined
        ? hash(state)
        : equal !== undefined
          ? 0
          : typeof state === 'number'
            ? state
            : canonical(state)
    const found = this.#numbers.get(key)
    if (found === undefined) {
      const number = this.#add(state)
      this.#numbers.set(key, number)
      return number
    }
    if (equal === undefined) return (typeof found === 'number' ? found : found[0]) as number
    // Hashes may meet, so equality decides.
    const candidates = typeof found === 'number' ? [found] : found
    for (const number of candidates) if (equal(this.#states[number], state)) return number
    const number = this.#add(state)
    this.#numbers.set(key, [...candidates, number])
    return number
  }

  #add(state: unknown): number {
    const number = this.#states.length
    this.#states.push(state)
    if (this.#classes.length <= ROW_MAX) this.#rows.push(new Int32Array(this.#classes.length).fill(UNKNOWN))
    return number
  }
}
