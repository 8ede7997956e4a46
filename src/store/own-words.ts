import type { DialectName } from './dialect.ts'

/** What begins text in which a word is no keyword. A dollar within a name, as in `a$b$c`, begins none. */
const OPENERS: Readonly<Record<'sqlite' | 'postgres', RegExp>> = {
  sqlite: /['"`[]|--|\/\*/g,
  postgres: /['"]|--|\/\*|(?<![\w$\u0080-\uffff])\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/gi,
}

/** An escape string, whose backslash takes a quote along: `E'it\'s'`. */
const ESCAPES = /(?<![\w$\u0080-\uffff])e$/i

/**
 * The statement's own words: a blank for each string, quoted name and comment, as that database reads them. PostgreSQL nests
 * comments, and has escape strings and dollar quotes; SQLite has names in brackets and backticks. Strings are taken to be those
 * of `standard_conforming_strings`, which is on unless somebody has switched it off. What does not end goes to the end of the text.
 */
export function ownWords(text: string, dialect: DialectName): string {
  const isSqlite = dialect === 'sqlite'
  const opener = OPENERS[isSqlite ? 'sqlite' : 'postgres']
  let words = ''
  let from = 0
  opener.lastIndex = 0
  for (let match = opener.exec(text); match !== null; match = opener.exec(text)) {
    const { 0: begin, index } = match
    words += `${text.slice(from, index)} `
    from = endOf(text, { begin, index, isSqlite })
    opener.lastIndex = from
  }
  return words + text.slice(from)
}

function endOf(
  text: string,
  { begin, index, isSqlite }: { readonly begin: string; readonly index: number; readonly isSqlite: boolean },
): number {
  const inside = index + begin.length
  if (begin === '--') return behind(text, '\n', inside)
  if (begin === '/*') return isSqlite ? behind(text, '*/', inside) : endOfNested(text, inside)
  if (begin === '[') return behind(text, ']', inside)
  // A quote doubled within ends one and begins the next, which comes to the same.
  if (begin !== "'" || isSqlite || !ESCAPES.test(text.slice(Math.max(0, index - 2), index)))
    return behind(text, begin, inside)
  for (let at = inside; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === "'") {
      if (text[at + 1] !== "'") return at + 1
      at++
    }
  }
  return text.length
}

function endOfNested(text: string, inside: number): number {
  const edge = /\/\*|\*\//g
  edge.lastIndex = inside
  let depth = 1
  for (let match = edge.exec(text); match !== null; match = edge.exec(text)) {
    depth += match[0] === '/*' ? 1 : -1
    if (depth === 0) return edge.lastIndex
  }
  return text.length
}

function behind(text: string, end: string, from: number): number {
  const at = text.indexOf(end, from)
  return at < 0 ? text.length : at + end.length
}
