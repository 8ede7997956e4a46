import { SpecMalformedError } from './errors.ts'

const KEYWORDS = ['notices', 'permutation', 'session', 'setup', 'step', 'teardown'] as const
export type Keyword = (typeof KEYWORDS)[number]

export type Token =
  | { readonly kind: 'keyword'; readonly text: Keyword; readonly line: number }
  | { readonly kind: 'name' | 'sql' | 'integer'; readonly text: string; readonly line: number }
  | { readonly kind: 'mark'; readonly text: '(' | ')' | ',' | '*'; readonly line: number }
  | { readonly kind: 'end'; readonly text: ''; readonly line: number }

/** In the order in which they are tried. Blanks are those of the language; a line end is none of them. */
const PATTERNS = [
  ['blank', /[ \t\r\f\n]+|#[^\n\r]*/y],
  ['name', /[A-Za-z_\u0080-\u{10ffff}][A-Za-z0-9_$\u0080-\u{10ffff}]*/uy],
  ['integer', /[0-9]+/y],
  ['mark', /[(),*]/y],
  ['quoted', /"((?:[^"\n]|"")*)"/y],
  ['sql', /\{[ \t\r\f]*([^}]*)\}/y],
] as const

/**
 * Cuts the text of a spec into tokens, ending with one of kind `end`. Pure.
 * @throws SpecMalformedError with the line
 */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  let line = 1
  for (let at = 0; at < text.length; ) {
    const found = match(text, at)
    if (found === undefined) throw malformed(text, at, line)
    const [kind, whole, inner] = found
    at += whole.length
    const lastLine = line + whole.split('\n').length - 1
    if (kind !== 'blank') tokens.push(toToken(kind, inner ?? whole, lastLine))
    line = lastLine
  }
  tokens.push({ kind: 'end', text: '', line })
  return tokens
}

type Kind = (typeof PATTERNS)[number][0]

function match(text: string, at: number): [Kind, string, string | undefined] | undefined {
  for (const [kind, pattern] of PATTERNS) {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found !== null) return [kind, found[0], found[1]]
  }
  return undefined
}

function toToken(kind: Exclude<Kind, 'blank'>, text: string, line: number): Token {
  if (kind === 'sql') return { kind, text: text.replace(/[ \t\r\f]*$/, ''), line }
  if (kind === 'quoted') return { kind: 'name', text: text.replaceAll('""', '"'), line }
  if (kind === 'mark') return { kind, text: text as '(' | ')' | ',' | '*', line }
  const keyword = KEYWORDS.find((word) => word === text)
  return keyword !== undefined ? { kind: 'keyword', text: keyword, line } : { kind, text, line }
}

function malformed(text: string, at: number, line: number): SpecMalformedError {
  const first = text[at] as string
  if (first === '{') {
    return new SpecMalformedError(
      `unterminated sql block at line ${line + text.slice(at).split('\n').length - 1}`,
    )
  }
  if (first !== '"') {
    return new SpecMalformedError(`syntax error at line ${line}: unexpected character "${first}"`)
  }
  const what = text.includes('\n', at) ? 'unexpected newline in' : 'unterminated'
  return new SpecMalformedError(`${what} quoted identifier at line ${line}`)
}
