/** A growing array of 32-bit integers: what a history of a million transactions is kept in. */
export class IntVector {
  #data: Int32Array
  length = 0

  constructor(capacity = 1024) {
    this.#data = new Int32Array(capacity)
  }

  push(value: number): void {
    if (this.length === this.#data.length) {
      const grown = new Int32Array(this.#data.length * 2)
      grown.set(this.#data)
      this.#data = grown
    }
    this.#data[this.length++] = value
  }

  at(index: number): number {
    return this.#data[index] as number
  }

  set(index: number, value: number): void {
    this.#data[index] = value
  }

  /** The filled part, as a view: valid until the next `push`. */
  view(): Int32Array {
    return this.#data.subarray(0, this.length)
  }
}

/** The same for numbers that 32 bits do not hold. */
export class NumberVector {
  #data: Float64Array
  length = 0

  constructor(capacity = 1024) {
    this.#data = new Float64Array(capacity)
  }

  push(value: number): void {
    if (this.length === this.#data.length) {
      const grown = new Float64Array(this.#data.length * 2)
      grown.set(this.#data)
      this.#data = grown
    }
    this.#data[this.length++] = value
  }

  at(index: number): number {
    return this.#data[index] as number
  }

  view(): Float64Array {
    return this.#data.subarray(0, this.length)
  }
}
