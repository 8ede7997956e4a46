const SPACE = 32
const QUOTE = 34
const PLUS = 43
const COMMA = 44
const MINUS = 45
const POINT = 46
const ZERO = 48
const NINE = 57
const COLON = 58
const OPEN = 91
const BACKSLASH = 92
const CLOSE = 93
const BRACE = 123
const BRACE_END = 125
const DEPTH_MAX = 32

const LITERALS = ['null', 'true', 'false'].map((word) => new TextEncoder().encode(word))

/**
 * A place in the bytes of a line of JSON, and steps over what stands there. A step is exact: what it goes over is JSON. False
 * (or -1) says that it is not, or that there is an escape or more depth than usual in it, which are left to `JSON.parse`.
 */
export class JsonBytes {
  bytes: Uint8Array = new Uint8Array(0)
  at = 0
  end = 0

  space(): void {
    const { bytes } = this
    for (;;) {
      const c = bytes[this.at]
      if (c !== SPACE && c !== 9 && c !== 13) return
      this.at++
    }
  }

  /** Steps over the byte where it is that one. */
  take(byte: number): boolean {
    if (this.bytes[this.at] !== byte) return false
    this.at++
    return true
  }

  /** A whole number below 10^15, or -1. */
  whole(): number {
    const { bytes } = this
    const from = this.at
    let at = from
    let value = 0
    for (;;) {
      const c = bytes[at] as number
      if (!(c >= ZERO && c <= NINE)) break
      value = value * 10 + (c - ZERO)
      at++
    }
    this.at = at
    const next = bytes[at]
    const digits = at - from
    if (digits === 0 || digits > 15 || next === POINT || next === 101 || next === 69) return -1
    return digits > 1 && bytes[from] === ZERO ? -1 : value
  }

  /** A text, from its quote. */
  text(): boolean {
    const { bytes, end } = this
    let at = this.at
    if (bytes[at++] !== QUOTE) return false
    while (at < end) {
      const c = bytes[at++] as number
      if (c === QUOTE) {
        this.at = at
        return true
      }
      if (c === BACKSLASH || c < SPACE) return false
    }
    return false
  }

  /** One value. */
  value(depth = 0): boolean {
    const c = this.bytes[this.at] as number
    if (c === QUOTE) return this.text()
    if (c === OPEN) return this.#items(CLOSE, depth)
    if (c === BRACE) return this.#items(BRACE_END, depth)
    if (c === MINUS || (c >= ZERO && c <= NINE)) return this.#number()
    return this.literal()
  }

  /** `null`, `true` or `false`. */
  literal(): boolean {
    const { bytes, at } = this
    for (const word of LITERALS) {
      if (bytes[at] !== word[0]) continue
      for (let i = 1; i < word.length; i++) if (bytes[at + i] !== word[i]) return false
      this.at += word.length
      return true
    }
    return false
  }

  #items(close: number, depth: number): boolean {
    if (depth >= DEPTH_MAX) return false
    this.at++
    this.space()
    if (this.take(close)) return true
    for (;;) {
      if (close === BRACE_END) {
        if (!this.text()) return false
        this.space()
        if (!this.take(COLON)) return false
        this.space()
      }
      if (!this.value(depth + 1)) return false
      this.space()
      if (this.take(close)) return true
      if (!this.take(COMMA)) return false
      this.space()
    }
  }

  #number(): boolean {
    this.take(MINUS)
    if (!this.take(ZERO) && !this.#digits()) return false
    if (this.take(POINT) && !this.#digits()) return false
    if (!this.take(101) && !this.take(69)) return true
    if (!this.take(PLUS)) this.take(MINUS)
    return this.#digits()
  }

  #digits(): boolean {
    const { bytes } = this
    const from = this.at
    let at = from
    for (;;) {
      const c = bytes[at] as number
      if (!(c >= ZERO && c <= NINE)) break
      at++
    }
    this.at = at
    return at > from
  }
}
