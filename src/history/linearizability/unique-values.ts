// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import { canonical } from '../../core/canonical.ts'

/** Numbers values; small whole numbers, which most histories write, without a map. */
export class Numbers {
  readonly #small: Int32Array
  readonly #others = new Map<unknown, number>()

  constructor(count: number) {
    this.#small = new Int32Array(4 * count + 64)
  }

  /** False when the value has a number. */
  add(value: unknown, number: number): boolean {
    if (this.#isSmall(value)) {
      if (this.#small[value] !== 0) return false
      this.#small[value] = number + 1
      return true
    }
    const key = keyOf(value)
    if (this.#others.has(key)) return false
    this.#others.set(key, number)
    return true
  }

  /** -1 when there is none. */
  of(value: unknown): number {
    return this.#isSmall(value) ? this.#small[value]! - 1 : (this.#others.get(keyOf(value)) ?? -1)
  }

  #isSmall(value: unknown): value is number {
    return typeof value === 'number' && value >= 0 && value < this.#small.length && Number.isInteger(value)
  }
}

/** Numbers and null are their own key; everything else is its text, and equal texts are equal values. */
function keyOf(value: unknown): unknown {
  if (value === null) return value
  if (typeof value === 'number') return value
  // A bigint is the number that it equals.
  if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) return Number(value)
  return canonical(value)
}

/** Sorts by whole-numbered keys from -1, such as positions. */
export function sortedBy(items: Int32Array, keys: Float64Array): Int32Array {
  const size = items.length
  let last = 0
  for (let i = 0; i < size; i++) if (keys[i]! > last) last = keys[i]!
  const sorted = new Int32Array(size)
  if (last < 16 * size + 64) {
    const at = new Int32Array(last + 3) // where the items with a key begin, one place further
    for (let i = 0; i < size; i++) at[keys[i]! + 2]!++
    for (let place = 1; place < at.length; place++) at[place]! += at[place - 1]!
    for (let i = 0; i < size; i++) sorted[at[keys[i]! + 1]!++] = items[i]!
    return sorted
  }
  const combined = new Float64Array(size)
  for (let i = 0; i < size; i++) combined[i] = (keys[i]! + 1) * size + i
  combined.sort()
  for (let i = 0; i < size; i++) sorted[i] = items[combined[i]! % size]!
  return sorted
}
