/**
 * Which operations without an answer a configuration has made use of: how often each class of them. Numbered, so that
 * equal uses have equal numbers. Use 0 is none.
 */
export class OptionalUses {
  readonly #counts: Uint32Array[]
  readonly #classes: number
  readonly #numbers = new Map<string, number>()
  readonly #next = new Map<number, number>()
  readonly #within = new Map<number, boolean>()

  constructor(classes: number) {
    this.#classes = classes
    const none = new Uint32Array(classes)
    this.#counts = [none]
    this.#numbers.set(none.join(), 0)
  }

  count(use: number, operation: number): number {
    return (this.#counts[use] as Uint32Array)[operation] as number
  }

  /** The use with one more of a class. */
  plus(use: number, operation: number): number {
    const at = use * this.#classes + operation
    const known = this.#next.get(at)
    if (known !== undefined) return known
    const counts = (this.#counts[use] as Uint32Array).slice()
    counts[operation] = (counts[operation] as number) + 1
    const key = counts.join()
    let number = this.#numbers.get(key)
    if (number === undefined) {
      number = this.#counts.length
      this.#counts.push(counts)
      this.#numbers.set(key, number)
    }
    this.#next.set(at, number)
    return number
  }

  /** True when `a` made no use that `b` did not make: what `b` can still do, `a` can do. */
  within(a: number, b: number): boolean {
    if (a === b || a === 0) return true
    if (b === 0) return false
    const at = a * 2_097_152 + b
    const known = this.#within.get(at)
    if (known !== undefined) return known
    const [left, right] = [this.#counts[a] as Uint32Array, this.#counts[b] as Uint32Array]
    let yes = true
    for (let i = 0; yes && i < left.length; i++) yes = (left[i] as number) <= (right[i] as number)
    if (this.#within.size > 500_000) this.#within.clear()
    this.#within.set(at, yes)
    return yes
  }
}
