import { IntVector, NumberVector } from './int-vector.ts'

/** A key or a value as histories hold them. Anything else is kept by its JSON text. */
export type Datum = string | number | bigint | boolean | object

/**
 * Turns keys and values into numbers ("tokens") and back. Whole numbers from 0 to 2^51 are their own token, doubled,
 * so that the common case allocates nothing; every other value is filed in a table.
 */
export class Tokens {
  readonly #filed = new Map<string, number>()
  readonly #shown: string[] = []

  ofNumber(value: number): number {
    return Number.isInteger(value) && value >= 0 && value <= 2 ** 51
      ? value * 2
      : this.#file(`n${value}`, `${value}`)
  }

  ofString(value: string): number {
    return this.#file(`s${value}`, value)
  }

  of(value: Datum): number {
    if (typeof value === 'number') return this.ofNumber(value)
    if (typeof value === 'string') return this.ofString(value)
    if (typeof value === 'bigint') {
      return value >= 0n && value <= 2n ** 51n ? Number(value) * 2 : this.#file(`n${value}`, `${value}`)
    }
    const text = JSON.stringify(value)
    return this.#file(`j${text}`, text)
  }

  show(token: number): string {
    return token % 2 === 0 ? String(token / 2) : (this.#shown[(token - 1) / 2] as string)
  }

  #file(text: string, shown: string): number {
    let token = this.#filed.get(text)
    if (token === undefined) {
      token = this.#shown.length * 2 + 1
      this.#shown.push(shown)
      this.#filed.set(text, token)
    }
    return token
  }
}

/** Numbers pairs (key, token) densely from 0, by open addressing in typed arrays: millions of pairs in tens of MB. */
export class PairTable {
  readonly #keys = new IntVector()
  readonly #tokens = new NumberVector()
  #slots = new Int32Array(2048).fill(-1)

  get size(): number {
    return this.#keys.length
  }

  add(key: number, token: number): number {
    let slot = this.#slot(key, token)
    const found = this.#slots[slot] as number
    if (found >= 0) return found
    const id = this.#keys.length
    this.#keys.push(key)
    this.#tokens.push(token)
    this.#slots[slot] = id
    if (id * 2 >= this.#slots.length) {
      const old = id + 1
      this.#slots = new Int32Array(this.#slots.length * 2).fill(-1)
      for (let i = 0; i < old; i++) {
        slot = this.#slot(this.#keys.at(i), this.#tokens.at(i))
        this.#slots[slot] = i
      }
    }
    return id
  }

  /** The number of the pair, or -1. */
  find(key: number, token: number): number {
    return this.#slots[this.#slot(key, token)] as number
  }

  key(id: number): number {
    return this.#keys.at(id)
  }

  token(id: number): number {
    return this.#tokens.at(id)
  }

  #slot(key: number, token: number): number {
    const mask = this.#slots.length - 1
    const low = token | 0
    const high = (token / 4294967296) | 0
    let hash = Math.imul(key ^ Math.imul(high, 0x27d4eb2d), 0x9e3779b1) ^ Math.imul(low, 0x85ebca6b)
    hash ^= hash >>> 15
    hash = Math.imul(hash, 0x2c1b3c6d)
    hash ^= hash >>> 13
    let slot = hash & mask
    for (;;) {
      const id = this.#slots[slot] as number
      if (id < 0 || (this.#keys.at(id) === key && this.#tokens.at(id) === token)) return slot
      slot = (slot + 1) & mask
    }
  }
}
