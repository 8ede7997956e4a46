import { SpecMalformedError } from './errors.ts'
import { resolveNames } from './resolve.ts'
import type { Spec } from './spec.ts'
import { type Keyword, type Token, tokenize } from './tokens.ts'

/** The file as written: names are not looked up yet. */
export interface ParsedSpec {
  readonly setups: readonly string[]
  readonly teardown: string | undefined
  readonly sessions: readonly ParsedSession[]
  readonly permutations: readonly (readonly ParsedEntry[])[]
}

export interface ParsedSession {
  readonly name: string
  readonly setup: string | undefined
  readonly teardown: string | undefined
  readonly steps: readonly { readonly name: string; readonly sql: string }[]
}

export interface ParsedEntry {
  readonly name: string
  readonly blockers: readonly ParsedBlocker[]
}

export type ParsedBlocker = '*' | { readonly name: string; readonly notices: number | undefined }

/**
 * Reads a file in PostgreSQL's isolation test language. Pure.
 * @throws SpecMalformedError with the line, or with the name that leads nowhere
 * @see PostgreSQL, src/test/isolation/README
 */
export function parseSpec(text: string): Spec {
  return resolveNames(new Parser(tokenize(text)).file())
}

class Parser {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  file(): ParsedSpec {
    const setups = this.#many(() => this.#block('setup'))
    const teardown = this.#block('teardown')
    const sessions = this.#many(() => this.#session())
    if (sessions.length === 0) throw this.#unexpected()
    const permutations = this.#many(() => this.#permutation())
    if (this.#next.kind !== 'end') throw this.#unexpected()
    return { setups, teardown, sessions, permutations }
  }

  #session(): ParsedSession | undefined {
    if (!this.#skip('session')) return undefined
    const name = this.#take('name')
    const setup = this.#block('setup')
    const steps = this.#many(() =>
      this.#skip('step') ? { name: this.#take('name'), sql: this.#take('sql') } : undefined,
    )
    if (steps.length === 0) throw this.#unexpected()
    const teardown = this.#block('teardown')
    return { name, setup, teardown, steps }
  }

  #permutation(): ParsedEntry[] | undefined {
    if (!this.#skip('permutation')) return undefined
    const entries = this.#many(() => this.#entry())
    if (entries.length === 0) throw this.#unexpected()
    return entries
  }

  #entry(): ParsedEntry | undefined {
    if (this.#next.kind !== 'name') return undefined
    const name = this.#take('name')
    const blockers: ParsedBlocker[] = []
    if (this.#skip('(')) {
      do blockers.push(this.#blocker())
      while (this.#skip(','))
      if (!this.#skip(')')) throw this.#unexpected()
    }
    return { name, blockers }
  }

  #blocker(): ParsedBlocker {
    if (this.#skip('*')) return '*'
    const name = this.#take('name')
    return { name, notices: this.#skip('notices') ? Number(this.#take('integer')) : undefined }
  }

  #block(keyword: Keyword): string | undefined {
    return this.#skip(keyword) ? this.#take('sql') : undefined
  }

  /** What `read` gives until it finds nothing of its kind. */
  #many<T>(read: () => T | undefined): T[] {
    const all: T[] = []
    for (let one = read(); one !== undefined; one = read()) all.push(one)
    return all
  }

  get #next(): Token {
    return this.#tokens[this.#at] as Token
  }

  #skip(text: Keyword | '(' | ')' | ',' | '*'): boolean {
    const { kind, text: found } = this.#next
    if ((kind !== 'keyword' && kind !== 'mark') || found !== text) return false
    this.#at += 1
    return true
  }

  #take(kind: Token['kind']): string {
    const token = this.#next
    if (token.kind !== kind) throw this.#unexpected()
    this.#at += 1
    return token.text
  }

  #unexpected(): SpecMalformedError {
    const { kind, text, line } = this.#next
    const what = kind === 'end' ? 'the end of the file' : kind === 'sql' ? 'a block of SQL' : `"${text}"`
    return new SpecMalformedError(`syntax error at line ${line}: ${what} is not expected here`)
  }
}
