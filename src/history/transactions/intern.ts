import { canonical } from '../../core/canonical.ts'

/** A key or a value as histories hold them. Anything else is kept by its contents. */
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
    const text = canonical(value)
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

const DIRECT_MAX = 2 ** 25

/** Numbers pairs (key, token) densely from 0, by open addressing in typed arrays: millions of pairs in tens of MB. */
export class PairTable {
  #keys = new Int32Array(1024)
  #tokens = new Float64Array(1024)
  #slots = new Int32Array(4096).fill(-1)
  #slotted = 0
  /** Per small whole number: the first pair that has it. Where values are used for one key only, this is all. */
  #direct = new Int32Array(1024).fill(-1)
  size = 0

  add(key: number, token: number): number {
    if (token < DIRECT_MAX && token % 2 === 0) {
      const index = token / 2
      if (index >= this.#direct.length) {
        const grown = new Int32Array(index * 2).fill(-1)
        grown.set(this.#direct)
        this.#direct = grown
      }
      const id = this.#direct[index] as number
      if (id === -1) {
        this.#direct[index] = this.size
        return this.#append(key, token)
      }
      if (this.#keys[id] === key) return id
    }
    return this.#addBySlot(key, token)
  }

  #append(key: number, token: number): number {
    const id = this.size++
    if (id === this.#keys.length) this.#grow()
    this.#keys[id] = key
    this.#tokens[id] = token
    return id
  }

  #addBySlot(key: number, token: number): number {
    const slot = this.#slot(key, token)
    const found = this.#slots[slot] as number
    if (found >= 0) return found
    const id = this.#append(key, token)
    this.#slots[slot] = id
    this.#slotted++
    if (this.#slotted * 2 > this.#slots.length) {
      const old = this.#slots
      this.#slots = new Int32Array(old.length * 4).fill(-1)
      for (const i of old) {
        if (i >= 0) this.#slots[this.#slot(this.#keys[i] as number, this.#tokens[i] as number)] = i
      }
    }
    return id
  }

  /** The number of the pair, or -1. */
  find(key: number, token: number): number {
    if (token % 2 === 0 && token / 2 < this.#direct.length) {
      const id = this.#direct[token / 2] as number
      if (id !== -1 && this.#keys[id] === key) return id
    }
    return this.#slots[this.#slot(key, token)] as number
  }

  key(id: number): number {
    return this.#keys[id] as number
  }

  token(id: number): number {
    return this.#tokens[id] as number
  }

  #grow(): void {
    const keys = new Int32Array(this.#keys.length * 2)
    keys.set(this.#keys)
    this.#keys = keys
    const tokens = new Float64Array(this.#tokens.length * 2)
    tokens.set(this.#tokens)
    this.#tokens = tokens
  }

  #slot(key: number, token: number): number {
    const slots = this.#slots
    const keys = this.#keys
    const tokens = this.#tokens
    const mask = slots.length - 1
    let hash = Math.imul(key, 0x9e3779b1) ^ Math.imul(token | 0, 0x85ebca6b)
    if (token > 4294967295) hash ^= Math.imul((token / 4294967296) | 0, 0x27d4eb2d)
    hash ^= hash >>> 15
    hash = Math.imul(hash, 0x2c1b3c6d)
    hash ^= hash >>> 13
    let slot = hash & mask
    for (;;) {
      const id = slots[slot] as number
      if (id < 0 || (keys[id] === key && tokens[id] === token)) return slot
      slot = (slot + 1) & mask
    }
  }
}
