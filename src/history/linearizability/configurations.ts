// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction
import type { OptionalUses } from './optional-uses.ts'

/** Where a configuration keeps its state, its use of optional operations, and from where on its mask. */
export const STATE = 0
export const USE = 1
export const MASK = 2

/**
 * A set of configurations: a state, the optional operations used, and a mask of the slots whose operation has taken
 * effect. Of two that differ in their use only, the one that used less makes the other superfluous.
 *
 * Row `i` is `data[i * stride]` onwards. A superfluous row has state -1.
 */
export class Configurations {
  readonly stride: number
  data: Int32Array
  length = 0
  readonly #uses: OptionalUses
  #table = new Int32Array(1 << 10)
  #stamps = new Int32Array(1 << 10)
  #stamp = 1

  constructor(words: number, uses: OptionalUses) {
    this.stride = MASK + words
    this.data = new Int32Array(this.stride * 512)
    this.#uses = uses
  }

  clear(): void {
    this.length = 0
    this.#stamp++
  }

  /** Makes room for one more row behind the last and answers where it begins. `add` takes it in. */
  draft(): number {
    const at = this.length * this.stride
    if (at + this.stride > this.data.length) {
      const larger = new Int32Array(this.data.length * 2)
      larger.set(this.data)
      this.data = larger
    }
    return at
  }

  /** Takes the draft in, unless a row like it or better is there. */
  add(): boolean {
    const { data, stride } = this
    const at = this.length * stride
    if (this.length * 2 >= this.#table.length) this.#grow()
    const bits = this.#table.length - 1
    let i = hash(data, at, stride) & bits
    while (this.#stamps[i] === this.#stamp) {
      const other = this.#table[i]! * stride
      if (data[other] === data[at] && sameMask(data, other, at, stride)) {
        if (this.#uses.within(data[other + USE]!, data[at + USE]!)) return false
        if (this.#uses.within(data[at + USE]!, data[other + USE]!)) data[other] = -1
      }
      i = (i + 1) & bits
    }
    this.#stamps[i] = this.#stamp
    this.#table[i] = this.length++
    return true
  }

  #grow(): void {
    const size = this.#table.length * 2
    this.#table = new Int32Array(size)
    this.#stamps = new Int32Array(size)
    this.#stamp = 1
    for (let row = 0; row < this.length; row++) {
      if (this.data[row * this.stride]! < 0) continue
      let i = hash(this.data, row * this.stride, this.stride) & (size - 1)
      while (this.#stamps[i] === 1) i = (i + 1) & (size - 1)
      this.#stamps[i] = 1
      this.#table[i] = row
    }
  }
}

function sameMask(data: Int32Array, a: number, b: number, stride: number): boolean {
  for (let i = MASK; i < stride; i++) if (data[a + i] !== data[b + i]) return false
  return true
}

function hash(data: Int32Array, at: number, stride: number): number {
  let h = Math.imul(data[at]!, 0x9e3779b1)
  for (let i = MASK; i < stride; i++) {
    h = Math.imul(h ^ data[at + i]!, 0x85ebca6b)
    h ^= h >>> 15
  }
  return (h ^ (h >>> 13)) >>> 0
}
