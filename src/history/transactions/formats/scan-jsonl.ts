// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { isClient } from '../../operation.ts'
import {
  FAIL,
  INFO,
  NIL,
  OK,
  READ,
  type TransactionHistory,
  TransactionHistoryBuilder,
  WRITE,
} from '../history.ts'
import { MalformedHistoryError } from '../malformed.ts'
import { type MicroOpModel, microOp, NO_PROCESS } from './from-operations.ts'

const QUOTE = 34
const COMMA = 44
const MINUS = 45
const COLON = 58
const OPEN = 91
const BACKSLASH = 92
const CLOSE = 93
const BRACE = 123
const BRACE_END = 125
const NEWLINE = 10

/**
 * Reads histories of registers, lists or sets from JSON lines (`{"process":0,"type":"ok","f":"txn","value":[["r","x",1]]}`),
 * piece by piece, so that a file of any size needs memory only for what it holds. The usual shape of a line is read
 * straight from the bytes; a line with anything unusual in it goes through `JSON.parse`, with the same result.
 * Invocations and answers are paired by process as in `transactionsFromOperations`.
 */
export class JsonLinesScanner {
  readonly #builder = new TransactionHistoryBuilder()
  readonly #model: MicroOpModel
  readonly #pending = new Map<number, { at: number; line: number; text: Uint8Array | undefined }>()
  #rest: Uint8Array = new Uint8Array(0)
  #line = 0
  #operations = 0

  // What the line at hand holds; -1 and NaN stand for absent.
  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0
  #end = 0

  constructor(model: MicroOpModel) {
    this.#model = model
  }

  push(chunk: Uint8Array): void {
    let bytes = chunk
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length)
      bytes.set(this.#rest)
      bytes.set(chunk, this.#rest.length)
    }
    let start = 0
    for (;;) {
      const end = bytes.indexOf(NEWLINE, start)
      if (end < 0) break
      this.#scan(bytes, start, end)
      start = end + 1
    }
    this.#rest = bytes.slice(start)
  }

  finish(): TransactionHistory {
    if (this.#rest.length > 0) this.#scan(this.#rest, 0, this.#rest.length)
    this.#rest = new Uint8Array(0)
    for (const [process, sent] of this.#pending) this.#unanswered(process, sent)
    if (this.#operations === 0) throw new MalformedHistoryError(this.#line, 'the history holds no operation')
    return this.#builder.finish({ definition: 'adya', unit: 'line', unordered: this.#model === 'set' })
  }

  #scan(bytes: Uint8Array, from: number, to: number): void {
    this.#line++
    let end = to
    while (end > from && (bytes[end - 1] as number) <= 32) end--
    let start = from
    while (start < end && (bytes[start] as number) <= 32) start++
    if (start === end) return
    this.#bytes = bytes
    this.#at = start
    this.#end = end
    if (!this.#usual(start, end)) this.#unusual(bytes.subarray(start, end))
  }

  /** Finds type, process and value without parsing; false when the line is not of the usual shape. */
  #usual(start: number, end: number): boolean {
    const bytes = this.#bytes
    if (bytes[start] !== BRACE || bytes[end - 1] !== BRACE_END) return false
    let type = 0 // first letter of the type: i(nvoke), o(k), f(ail), n for info
    let process = -1
    let value = -1
    this.#at = start + 1
    for (;;) {
      this.#space()
      if (bytes[this.#at] !== QUOTE) return false
      const name = this.#at + 1
      const nameEnd = bytes.indexOf(QUOTE, name)
      if (nameEnd < 0 || nameEnd >= end) return false
      this.#at = nameEnd + 1
      this.#space()
      if (bytes[this.#at++] !== COLON) return false
      this.#space()
      const length = nameEnd - name
      const letter = bytes[name]
      if (length === 4 && letter === 116 && bytes[name + 1] === 121) {
        // "type"
        if (bytes[this.#at] !== QUOTE) return false
        type = bytes[this.#at + 1] as number
        if (type === 105 && bytes[this.#at + 3] === 102) type = 110
        if (!this.#skip()) return false
      } else if (length === 7 && letter === 112) {
        process = this.#number()
        if (process < 0) return false
      } else if (length === 5 && letter === 118) {
        value = this.#at
        if (bytes[this.#at] !== OPEN || !this.#skip()) return false
      } else if (!this.#skip()) return false
      this.#space()
      const next = bytes[this.#at++]
      if (next === COMMA) continue
      if (next === BRACE_END && this.#at === end) break
      return false
    }
    if (process < 0 || value < 0) return false
    if (type === 105) {
      if (this.#pending.has(process)) return false // the slow way makes the error
      this.#pending.set(process, { at: this.#line, line: this.#line, text: bytes.slice(start, end) })
      this.#operations++
      return true
    }
    if (type !== 111) return false
    // Everything is known to be there: from here on the builder is written to, so the value is looked over first.
    if (this.#model !== 'rw-register' || !this.#plain(value)) return false
    const sent = this.#pending.size === 0 ? undefined : this.#pending.get(process)
    if (sent !== undefined) this.#pending.delete(process)
    this.#operations++
    this.#builder.beginToken(process * 2, OK, sent?.at ?? -1, this.#line, this.#line)
    this.#microOps(value)
    return true
  }

  /** True when the value is a list of `["r" or "w", whole number or short string, whole number or null, version?]`. */
  #plain(value: number): boolean {
    const bytes = this.#bytes
    this.#at = value + 1
    this.#space()
    if (bytes[this.#at] === CLOSE) return true
    for (;;) {
      if (bytes[this.#at++] !== OPEN) return false
      this.#space()
      const f = bytes[this.#at + 1]
      if (bytes[this.#at] !== QUOTE || (f !== 114 && f !== 119) || bytes[this.#at + 2] !== QUOTE) return false
      this.#at += 3
      for (let field = 0; ; field++) {
        this.#space()
        const next = bytes[this.#at++]
        if (next === CLOSE) {
          if (field < 2) return false
          break
        }
        if (next !== COMMA || field > 2) return false
        this.#space()
        const c = bytes[this.#at] as number
        if (c >= 48 && c <= 57) {
          if (this.#number() < 0) return false
        } else if (field === 0 && c === QUOTE) {
          if (!this.#skip()) return false
        } else if (field === 1 && f === 114 && c === 110) this.#at += 4
        else return false
      }
      this.#space()
      const next = bytes[this.#at++]
      if (next === CLOSE) return true
      if (next !== COMMA) return false
      this.#space()
    }
  }

  #microOps(value: number): void {
    const bytes = this.#bytes
    const builder = this.#builder
    this.#at = value + 1
    this.#space()
    while (bytes[this.#at] !== CLOSE) {
      this.#at++ // [
      this.#space()
      const read = bytes[this.#at + 1] === 114
      this.#at += 3
      this.#space()
      this.#at++ // ,
      this.#space()
      let token: number
      if (bytes[this.#at] === QUOTE) {
        const from = this.#at
        this.#skip()
        token = builder.tokens.ofString(textOf(bytes, from + 1, this.#at - 1))
      } else token = this.#number() * 2
      const key = builder.keyNumber(token)
      this.#space()
      this.#at++ // ,
      this.#space()
      let number = NIL
      if (bytes[this.#at] === 110) this.#at += 4
      else number = builder.valueNumber(key, this.#number() * 2)
      this.#space()
      let version: number | undefined
      if (bytes[this.#at] === COMMA) {
        this.#at++
        this.#space()
        version = this.#number()
        this.#space()
      }
      this.#at++ // ]
      builder.op(read ? READ : WRITE, key, number, version)
      this.#space()
      if (bytes[this.#at] === COMMA) this.#at++
      this.#space()
    }
  }

  #unusual(line: Uint8Array): void {
    const text = new TextDecoder().decode(line)
    let op: unknown
    try {
      op = JSON.parse(keepLongNumbers(text))
    } catch (error) {
      throw new MalformedHistoryError(this.#line, `no JSON: ${(error as Error).message}`)
    }
    if (typeof op !== 'object' || op === null || Array.isArray(op)) {
      throw new MalformedHistoryError(this.#line, `expected an object, got ${text.slice(0, 60)}`)
    }
    const { type, process, value } = op as { type?: unknown; process?: unknown; value?: unknown }
    if (!isClient(process)) return
    const session = this.#builder.tokens.of((process ?? NO_PROCESS) as string | number)
    this.#operations++
    if (type === 'invoke') {
      const other = this.#pending.get(session / 2)
      if (other !== undefined) {
        if (process !== undefined && process !== null) {
          throw new MalformedHistoryError(
            this.#line,
            `process ${String(process)} sends an operation while another (line ${other.line}) has no answer`,
          )
        }
        this.#unanswered(session / 2, other)
      }
      this.#pending.set(session / 2, { at: this.#line, line: this.#line, text: line.slice() })
      return
    }
    if (type !== 'ok' && type !== 'fail' && type !== 'info') {
      throw new MalformedHistoryError(
        this.#line,
        `type must be invoke, ok, fail or info, got ${JSON.stringify(type) ?? 'nothing'}`,
      )
    }
    const sent = this.#pending.get(session / 2)
    this.#pending.delete(session / 2)
    const status = type === 'ok' ? OK : type === 'fail' ? FAIL : INFO
    let micros = value
    if (status !== OK && !Array.isArray(micros))
      micros = sent === undefined ? undefined : microOpsOf(sent.text)
    if (status !== OK && (micros === undefined || micros === null)) return
    this.#add(session, status, sent?.at ?? -1, status === OK ? this.#line : -1, this.#line, micros)
  }

  #unanswered(process: number, sent: { at: number; line: number; text: Uint8Array | undefined }): void {
    const value = microOpsOf(sent.text)
    if (Array.isArray(value)) this.#add(process * 2, INFO, sent.at, -1, sent.line, value)
  }

  #add(
    session: number,
    status: number,
    sentAt: number,
    answeredAt: number,
    line: number,
    value: unknown,
  ): void {
    if (!Array.isArray(value))
      throw new MalformedHistoryError(line, `value must be a list of micro-operations`)
    const tokens = this.#builder.tokens
    const named = tokens.show(session) === NO_PROCESS ? tokens.ofString(`unnamed ${line}`) : session
    this.#builder.beginToken(named, status, sentAt, answeredAt, line)
    for (const micro of value) {
      microOp(
        this.#builder,
        micro,
        this.#model,
        status,
        (problem) => new MalformedHistoryError(line, problem),
      )
    }
  }

  #space(): void {
    while ((this.#bytes[this.#at] as number) <= 32) this.#at++
  }

  /** A whole number below 2^50, or -1 where there is none. */
  #number(): number {
    const bytes = this.#bytes
    let value = 0
    const from = this.#at
    for (;;) {
      const c = bytes[this.#at] as number
      if (c < 48 || c > 57) break
      value = value * 10 + (c - 48)
      this.#at++
    }
    const next = bytes[this.#at]
    if (this.#at === from || this.#at - from > 15 || next === 46 || next === 101 || next === 69) return -1
    return value
  }

  /** Steps over one JSON value; false at an escape or the end of the line, which are left to the slow way. */
  #skip(): boolean {
    const bytes = this.#bytes
    let depth = 0
    while (this.#at < this.#end) {
      const c = bytes[this.#at++] as number
      if (c === QUOTE) {
        for (;;) {
          if (this.#at >= this.#end) return false
          const d = bytes[this.#at++] as number
          if (d === BACKSLASH) return false
          if (d === QUOTE) break
        }
        if (depth === 0) return true
      } else if (c === OPEN || c === BRACE) depth++
      else if (c === CLOSE || c === BRACE_END) {
        if (--depth === 0) return true
        if (depth < 0) return false
      } else if (depth === 0 && c !== MINUS) {
        // A number, true, false or null: up to the next comma or brace.
        while (this.#at < this.#end) {
          const d = bytes[this.#at] as number
          if (d === COMMA || d === CLOSE || d === BRACE_END || d <= 32) return true
          this.#at++
        }
        return false
      }
    }
    return false
  }
}

function microOpsOf(text: Uint8Array | undefined): unknown {
  return text === undefined
    ? undefined
    : (JSON.parse(keepLongNumbers(new TextDecoder().decode(text))) as { value?: unknown }).value
}

/** Whole numbers that a double does not hold become texts, digits and all, so that two of them never fall into one. */
function keepLongNumbers(text: string): string {
  if (!/\d{16}/.test(text)) return text
  return text.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, (part) =>
    part.startsWith('"') ? part : `"${part}"`,
  )
}

const decoder = new TextDecoder()
function textOf(bytes: Uint8Array, from: number, to: number): string {
  if (to - from < 24) {
    let text = ''
    for (let i = from; i < to; i++) {
      const c = bytes[i] as number
      if (c > 126) return decoder.decode(bytes.subarray(from, to))
      text += String.fromCharCode(c)
    }
    return text
  }
  return decoder.decode(bytes.subarray(from, to))
}
