// biome-ignore-all lint/style/noNonNullAssertion: indices into typed arrays are bounded by construction, and `a[i]! += 1` has no other short form
import { checkArguments, isBytes } from '../../../core/options.ts'
import { parseExact } from '../../formats/exact-json.ts'
import { shown } from '../../formats/jsonl.ts'
import { decodeUtf8 } from '../../formats/utf8.ts'
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
import { isMicroOpModel, type MicroOpModel, microOp, NO_PROCESS } from './from-operations.ts'
import { JsonBytes } from './json-bytes.ts'

const QUOTE = 34
const COMMA = 44
const COLON = 58
const OPEN = 91
const CLOSE = 93
const BRACE = 123
const BRACE_END = 125
const NEWLINE = 10
const [LETTER_N, LETTER_R, LETTER_W] = [110, 114, 119]

const wordBytes = (word: string): Uint8Array => new TextEncoder().encode(word)
const [TYPE, PROCESS, VALUE, INVOKE, ANSWERED] = ['type', 'process', 'value', 'invoke', 'ok'].map(
  wordBytes,
) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array]

/**
 * Reads histories of registers, lists or sets from JSON lines (`{"process":0,"type":"ok","f":"txn","value":[["r","x",1]]}`),
 * piece by piece, so that a file of any size needs memory only for what it holds. The usual shape of a line is read
 * straight from the bytes; a line with anything unusual in it goes through `JSON.parse`, with the same result.
 * Invocations and answers are paired by process as in `transactionsFromOperations`.
 */
export class JsonLinesScanner {
  readonly #builder = new TransactionHistoryBuilder()
  readonly #model: MicroOpModel
  readonly #pending = new Map<number, { at: number; line: number; text: Uint8Array }>()
  #rest: Uint8Array = new Uint8Array(0)
  #line = 0
  #operations = 0

  /** Where in the line at hand. */
  readonly #json = new JsonBytes()

  constructor(model: MicroOpModel) {
    checkArguments('JsonLinesScanner', isMicroOpModel(model))
    this.#model = model
  }

  push(chunk: Uint8Array): void {
    checkArguments('JsonLinesScanner.push', isBytes('chunk', chunk))
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
    if (this.#operations === 0) {
      throw new MalformedHistoryError(Math.max(1, this.#line), 'the history holds no operation')
    }
    return this.#builder.finish({ definition: 'adya', unit: 'line', unordered: this.#model === 'set' })
  }

  #scan(bytes: Uint8Array, from: number, to: number): void {
    this.#line++
    let end = to
    while (end > from && (bytes[end - 1] as number) <= 32) end--
    let start = from
    while (start < end && (bytes[start] as number) <= 32) start++
    if (start === end) return
    if (!this.#usual(start, end, bytes)) this.#unusual(bytes.subarray(start, end))
  }

  /** Finds type, process and value without parsing; false when the line is not of the usual shape. */
  #usual(start: number, end: number, bytes: Uint8Array): boolean {
    const json = this.#json
    json.bytes = bytes
    json.at = start
    json.end = end
    if (!json.take(BRACE)) return false
    let type: Uint8Array | undefined
    let process = -1
    let value = -1
    let plain = false
    for (;;) {
      json.space()
      const name = json.at + 1
      if (!json.text()) return false
      const nameEnd = json.at - 1
      json.space()
      if (!json.take(COLON)) return false
      json.space()
      const from = json.at
      if (isWord(bytes, name, nameEnd, TYPE)) {
        if (!json.text()) return false
        const to = json.at - 1
        if (isWord(bytes, from + 1, to, ANSWERED)) type = ANSWERED
        else if (isWord(bytes, from + 1, to, INVOKE)) type = INVOKE
        else return false
      } else if (isWord(bytes, name, nameEnd, PROCESS)) {
        process = json.whole()
        if (process < 0) return false
      } else if (isWord(bytes, name, nameEnd, VALUE)) {
        value = from
        plain = this.#model === 'rw-register' && this.#plain()
        if (!plain) {
          json.at = from
          if (bytes[from] !== OPEN || !json.value()) return false
        }
      } else if (!json.value()) return false
      json.space()
      if (json.take(COMMA)) continue
      if (json.take(BRACE_END) && json.at === end) break
      return false
    }
    if (process < 0 || value < 0) return false
    if (type === INVOKE) {
      if (this.#pending.has(process)) return false // the slow way makes the error
      this.#pending.set(process, { at: this.#line, line: this.#line, text: bytes.slice(start, end) })
      this.#operations++
      return true
    }
    // From here on the builder is written to, so everything must be known to be there.
    if (type !== ANSWERED || !plain) return false
    const sent = this.#pending.size === 0 ? undefined : this.#pending.get(process)
    if (sent !== undefined) this.#pending.delete(process)
    this.#operations++
    this.#builder.beginToken(process * 2, OK, sent?.at ?? -1, this.#line, this.#line)
    this.#microOps(value)
    return true
  }

  /** Steps over a list of `["r" or "w", whole number or text, whole number or null, version?]`; false when it is another. */
  #plain(): boolean {
    const json = this.#json
    const { bytes } = json
    if (!json.take(OPEN)) return false
    json.space()
    if (json.take(CLOSE)) return true
    for (;;) {
      if (!json.take(OPEN)) return false
      json.space()
      const f = bytes[json.at + 1]
      if (bytes[json.at] !== QUOTE || (f !== LETTER_R && f !== LETTER_W) || bytes[json.at + 2] !== QUOTE)
        return false
      json.at += 3
      for (let field = 0; ; field++) {
        json.space()
        if (json.take(CLOSE)) {
          if (field < 2) return false
          break
        }
        if (!json.take(COMMA) || field > 2) return false
        json.space()
        const c = bytes[json.at]
        if (field === 0 && c === QUOTE) {
          if (!json.text()) return false
        } else if (field === 1 && f === LETTER_R && c === LETTER_N) {
          if (!json.literal()) return false
        } else if (json.whole() < 0) return false
      }
      json.space()
      if (json.take(CLOSE)) return true
      if (!json.take(COMMA)) return false
      json.space()
    }
  }

  #microOps(value: number): void {
    const json = this.#json
    const { bytes } = json
    const builder = this.#builder
    json.at = value + 1
    json.space()
    while (bytes[json.at] !== CLOSE) {
      json.at++ // [
      json.space()
      const read = bytes[json.at + 1] === LETTER_R
      json.at += 3
      json.space()
      json.at++ // ,
      json.space()
      let token: number
      if (bytes[json.at] === QUOTE) {
        const from = json.at
        json.text()
        token = builder.tokens.ofString(this.#textOf(bytes, from + 1, json.at - 1))
      } else token = json.whole() * 2
      const key = builder.keyNumber(token)
      json.space()
      json.at++ // ,
      json.space()
      let number = NIL
      if (bytes[json.at] === LETTER_N) json.at += 4
      else number = builder.valueNumber(key, json.whole() * 2)
      json.space()
      let version: number | undefined
      if (json.take(COMMA)) {
        json.space()
        version = json.whole()
        json.space()
      }
      json.at++ // ]
      builder.op(read ? READ : WRITE, key, number, version)
      json.space()
      json.take(COMMA)
      json.space()
    }
  }

  #unusual(line: Uint8Array): void {
    const text = decodeUtf8(line, this.#line)
    const op = parsedLine(text, this.#line)
    if (typeof op !== 'object' || op === null || Array.isArray(op)) {
      throw new MalformedHistoryError(this.#line, `expected an object, got ${text.slice(0, 60)}`)
    }
    const { type, process, value } = op as { type?: unknown; process?: unknown; value?: unknown }
    if (!isClient(process)) return
    if (!['number', 'string', 'undefined'].includes(typeof process) && process !== null) {
      throw new MalformedHistoryError(this.#line, `process must be a number or a text, got ${shown(process)}`)
    }
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
    if (status !== OK && !Array.isArray(micros)) micros = sent === undefined ? undefined : microOpsOf(sent)
    if (status !== OK && (micros === undefined || micros === null)) return
    this.#add(session, status, sent?.at ?? -1, status === OK ? this.#line : -1, this.#line, micros)
  }

  #unanswered(process: number, sent: { at: number; line: number; text: Uint8Array }): void {
    const value = microOpsOf(sent)
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

  #textOf(bytes: Uint8Array, from: number, to: number): string {
    if (to - from < 24) {
      let text = ''
      for (let i = from; i < to; i++) {
        const c = bytes[i] as number
        if (c > 126) return decodeUtf8(bytes.subarray(from, to), this.#line)
        text += String.fromCharCode(c)
      }
      return text
    }
    return decodeUtf8(bytes.subarray(from, to), this.#line)
  }
}

function parsedLine(text: string, line: number): unknown {
  try {
    return parseExact(text)
  } catch (error) {
    throw new MalformedHistoryError(line, `no JSON: ${(error as Error).message}`)
  }
}

function isWord(bytes: Uint8Array, from: number, to: number, word: Uint8Array): boolean {
  if (to - from !== word.length) return false
  for (let i = 0; i < word.length; i++) if (bytes[from + i] !== word[i]) return false
  return true
}

/** What an invocation asked for. */
function microOpsOf({ text, line }: { readonly text: Uint8Array; readonly line: number }): unknown {
  return (parsedLine(decodeUtf8(text, line), line) as { value?: unknown }).value
}
