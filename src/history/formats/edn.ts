import { MalformedHistoryError } from '../transactions/malformed.ts'

/** A form of EDN and the line on which it begins. Keywords and symbols are texts without the colon. */
export interface EdnForm {
  readonly value: unknown
  readonly line: number
  /** What is wrong with the first ##Inf or ##NaN in it, which cannot be compared as other values are. */
  readonly incomparable?: MalformedHistoryError
}

const DEPTH_MAX = 256

/**
 * Reads all forms of an EDN text: nil, booleans, numbers (large ones as bigint), texts, regular expressions as Clojure
 * prints them (texts), characters, keywords, symbols, lists and vectors (arrays), maps (objects when all keys are texts, else Map), sets, tagged forms (the tag is dropped,
 * records too), comments and discards.
 * @throws MalformedHistoryError with the line
 */
export function parseEdn(text: string): EdnForm[] {
  const reader = new EdnReader(text)
  const forms: EdnForm[] = []
  for (;;) {
    const form = reader.next()
    if (form === undefined) return forms
    forms.push(form)
  }
}

/**
 * The forms of a text, where one list or vector around all of them stands for what it holds.
 * @throws MalformedHistoryError with the line
 */
export function parseEdnItems(text: string): EdnForm[] {
  return new EdnReader(text).wrapped() ?? parseEdn(text)
}

const NOT_FINITE: Readonly<Record<string, number>> = {
  Inf: Number.POSITIVE_INFINITY,
  '-Inf': Number.NEGATIVE_INFINITY,
  NaN: Number.NaN,
}
const DELIMITERS = new Set([' ', '\n', '\t', '\r', ',', '(', ')', '[', ']', '{', '}', '"', ';'])
const CLOSED_BY: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' }
const CHARACTERS: Readonly<Record<string, string>> = { newline: '\n', space: ' ', tab: '\t', return: '\r' }
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  '"': '"',
  '\\': '\\',
}
const DISCARDED = Symbol('discarded')

class EdnReader {
  readonly #text: string
  #at = 0
  #line = 1
  #incomparable: MalformedHistoryError | undefined

  constructor(text: string) {
    this.#text = text
  }

  next(): EdnForm | undefined {
    for (;;) {
      this.#space()
      if (this.#at >= this.#text.length) return undefined
      const line = this.#line
      const value = this.#form(0)
      if (value !== DISCARDED) return this.#read(value, line)
    }
  }

  /** What the one sequence of this text holds; undefined when it begins otherwise or more follows. */
  wrapped(): EdnForm[] | undefined {
    this.#space()
    // A record of Clojure's, such as #jepsen.history.History [...].
    const tag = /^#[A-Za-z][^\s"(){}[\]]*\s*(?=[[(])/.exec(this.#text.slice(this.#at, this.#at + 200))?.[0]
    this.#at += tag?.length ?? 0
    const close = CLOSED_BY[this.#text[this.#at] ?? '']
    if (close === undefined || close === '}') return undefined
    const items: EdnForm[] = []
    this.#each(close, 0, (value, line) => items.push(this.#read(value, line)))
    return this.next() === undefined ? items : undefined
  }

  #read(value: unknown, line: number): EdnForm {
    const incomparable = this.#incomparable
    this.#incomparable = undefined
    return { value, line, ...(incomparable && { incomparable }) }
  }

  #space(): void {
    for (;;) {
      const c = this.#text[this.#at]
      if (c === '\n') this.#line++
      else if (c === ';') {
        while (this.#at < this.#text.length && this.#text[this.#at] !== '\n') this.#at++
        continue
      } else if (c !== ' ' && c !== '\t' && c !== '\r' && c !== ',' && c !== '\uFEFF') return
      this.#at++
    }
  }

  #form(depth: number): unknown {
    if (depth > DEPTH_MAX) throw this.#malformed(`nested deeper than ${DEPTH_MAX}`)
    const c = this.#text[this.#at] as string
    switch (c) {
      case '"':
        return this.#string()
      case '[':
      case '(':
        return this.#sequence(CLOSED_BY[c] as string, depth)
      case '{':
        return this.#map(depth)
      case ')':
      case ']':
      case '}':
        throw this.#malformed(`"${c}" closes nothing`)
      case '#':
        return this.#dispatch(depth)
      case '\\':
        return this.#character()
      default:
        return this.#atom()
    }
  }

  #sequence(close: string, depth: number): unknown[] {
    const items: unknown[] = []
    this.#each(close, depth, (value) => items.push(value))
    return items
  }

  #each(close: string, depth: number, take: (value: unknown, line: number) => void): void {
    const from = this.#line
    this.#at++
    for (;;) {
      this.#space()
      if (this.#at >= this.#text.length) throw this.#malformed(`"${close}" is missing`, from)
      if (this.#text[this.#at] === close) {
        this.#at++
        return
      }
      const line = this.#line
      const value = this.#form(depth + 1)
      if (value !== DISCARDED) take(value, line)
    }
  }

  #map(depth: number): unknown {
    const from = this.#line
    const items = this.#sequence('}', depth)
    if (items.length % 2 !== 0) throw this.#malformed('a map has a key without a value', from)
    const entries: [unknown, unknown][] = []
    for (let i = 0; i < items.length; i += 2) entries.push([items[i], items[i + 1]])
    if (new Map(entries).size < entries.length) throw this.#malformed('a map has a key twice', from)
    return entries.every(([key]) => typeof key === 'string' && key !== '__proto__')
      ? Object.fromEntries(entries as [string, unknown][])
      : new Map(entries)
  }

  #dispatch(depth: number): unknown {
    const next = this.#text[this.#at + 1]
    if (next === '{') {
      this.#at++
      return new Set(this.#sequence('}', depth))
    }
    if (next === '#') {
      this.#at += 2
      const token = this.#token()
      const number = NOT_FINITE[token]
      const problem = this.#malformed(`##${token} is no value that can be compared`)
      if (number === undefined) throw problem
      this.#incomparable ??= problem
      return number
    }
    if (next === '"') {
      this.#at++
      return this.#expression()
    }
    if (next === '_') {
      this.#at += 2
      this.#space()
      if (this.#at >= this.#text.length) throw this.#malformed('#_ discards nothing')
      if (this.#form(depth + 1) === DISCARDED) this.#form(depth + 1)
      return DISCARDED
    }
    this.#at++
    const tag = this.#token()
    if (tag === '') throw this.#malformed('a tag has no name')
    this.#space()
    if (this.#at >= this.#text.length) throw this.#malformed(`#${tag} tags nothing`)
    return this.#form(depth + 1)
  }

  #string(): string {
    const from = this.#line
    let text = ''
    this.#at++
    for (;;) {
      const c = this.#text[this.#at++]
      if (c === undefined) throw this.#malformed('a text is not closed', from)
      if (c === '"') return text
      if (c === '\n') this.#line++
      if (c !== '\\') {
        text += c
        continue
      }
      const escaped = this.#text[this.#at++] ?? ''
      if (escaped === 'u') {
        const code = this.#text.slice(this.#at, this.#at + 4)
        if (!/^[0-9a-fA-F]{4}$/.test(code)) throw this.#malformed(`\\u${code} is no character`)
        this.#at += 4
        text += String.fromCharCode(Number.parseInt(code, 16))
      } else if (ESCAPES[escaped] !== undefined) text += ESCAPES[escaped]
      else throw this.#malformed(`\\${escaped} is no escape`)
    }
  }

  /** A regular expression, as Clojure prints one: its backslashes are its own. */
  #expression(): string {
    const [from, begin] = [this.#line, ++this.#at]
    for (;;) {
      const c = this.#text[this.#at++]
      if (c === undefined) throw this.#malformed('a text is not closed', from)
      if (c === '"') return this.#text.slice(begin, this.#at - 1)
      if (c === '\\') this.#at++
      if (this.#text[this.#at - 1] === '\n') this.#line++
    }
  }

  #character(): string {
    this.#at++
    const first = this.#text[this.#at++] ?? ''
    const name = first + this.#token()
    if (name.length === 1) return name
    if (/^u[0-9a-fA-F]{4}$/.test(name)) return String.fromCharCode(Number.parseInt(name.slice(1), 16))
    const known = CHARACTERS[name]
    if (known === undefined) throw this.#malformed(`\\${name} is no character`)
    return known
  }

  #token(): string {
    const from = this.#at
    while (this.#at < this.#text.length && !DELIMITERS.has(this.#text[this.#at] as string)) this.#at++
    return this.#text.slice(from, this.#at)
  }

  #atom(): unknown {
    const token = this.#token()
    if (token === 'nil') return null
    if (token === 'true') return true
    if (token === 'false') return false
    if (token.startsWith(':')) {
      if (token.length === 1) throw this.#malformed('a keyword has no name')
      return token.slice(1)
    }
    if (/^[+-]?\d/.test(token)) return this.#number(token)
    return token
  }

  #number(token: string): number | bigint {
    if (/^[+-]?\d+N?$/.test(token)) {
      const digits = token.replace(/^\+|N$/g, '')
      const number = Number(digits)
      return Number.isSafeInteger(number) ? number : BigInt(digits)
    }
    const hexadecimal = /^([+-]?)(0[xX][\da-fA-F]+)N?$/.exec(token)
    if (hexadecimal !== null) {
      const [, sign, digits] = hexadecimal as unknown as [string, string, string]
      const number = sign === '-' ? -BigInt(digits) : BigInt(digits)
      return Number.isSafeInteger(Number(number)) ? Number(number) : number
    }
    if (/^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?M?$/.test(token)) return Number(token.replace(/M$/, ''))
    if (/^[+-]?\d+\/\d+$/.test(token)) {
      const [over, under] = token.split('/').map(Number) as [number, number]
      return over / under
    }
    throw this.#malformed(`${token.slice(0, 40)} is no number`)
  }

  #malformed(problem: string, line = this.#line): MalformedHistoryError {
    return new MalformedHistoryError(line, problem)
  }
}
