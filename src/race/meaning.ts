import type { Relation, Relations } from './relations.ts'
import { covered } from './remedy/plain-select.ts'
import { BEFORE_PARENTHESIS, CLOCK_TEXTS, ORDER_WORDS, PURE_FUNCTIONS, WRITING_WORDS } from './sql-words.ts'

/**
 * What a statement means for others, as far as its text and the catalogue tell. `opaque`: not understood, and neither is what
 * its connection does from then on. `upsets`: it may make the other statements mean something else, so that none is understood.
 */
export type Meaning =
  | { readonly kind: 'begin' | 'end' | 'nothing' | 'opaque' | 'upsets' }
  | { readonly kind: 'access'; readonly reads: readonly string[]; readonly locks: readonly string[] }

/** READ COMMITTED only: with a snapshot, or SERIALIZABLE, a statement depends on commits elsewhere. */
const BEGIN =
  /^(begin|start\s+transaction)(\s+(work|transaction))?(\s+isolation\s+level\s+read\s+committed)?(\s+read\s+write)?$/i
const END = /^(commit|end|rollback|abort)(\s+(work|transaction))?$/i
const ACCESS = /^(select|insert|update|delete|values)\b/i
/** Of a connection, not of the schema. */
const SESSION = /^(begin|start|commit|end|rollback|abort|set|show|reset|with|merge)\b/i
/** Forms of text that `covered` does not cover, and names that are looked up by their texts. */
const TRICKY = /\\|\be'|\bu&|\$[a-z_]*\$|\/\*[\s\S]*\/\*|"[^"]*(--|\/\*|')[^"]*"|\breg[a-z]+\b|;\s*\S/i
const CLOCK_VALUE = new RegExp(String.raw`^\s*(${CLOCK_TEXTS})\s*$`, 'i')
const CLOCK_LITERAL = new RegExp(String.raw`'\s*(${CLOCK_TEXTS})\s*'`, 'i')

const PURE = new Set(PURE_FUNCTIONS)

/** Pure. Whatever is not understood is `opaque` or `upsets`. */
export function meaningOf(text: string, values: readonly unknown[], relations: Relations): Meaning {
  const whole = text.replace(/[\s;]+$/, '').trim()
  if (BEGIN.test(whole)) return { kind: 'begin' }
  if (END.test(whole)) return { kind: 'end' }
  if (/^(savepoint|release)\b/i.test(whole)) return { kind: 'nothing' }
  if (readsClock(whole, values)) return { kind: 'upsets' }
  if (!ACCESS.test(whole)) return { kind: SESSION.test(whole) && !/;/.test(whole) ? 'opaque' : 'upsets' }
  if (TRICKY.test(whole)) return { kind: /;\s*\S|\$[a-z_]*\$/i.test(whole) ? 'upsets' : 'opaque' }
  const words = wordsOf(covered(whole))
  if (words.some((word) => ORDER_WORDS.has(word))) return { kind: 'upsets' }
  if (!isKnown(words, relations)) return { kind: 'opaque' }
  const reads = [...new Set(words)].filter((word) => relations.has(word))
  const named = relationsOf(reads, relations)
  const written = words.some((word) => WRITING_WORDS.has(word)) ? named : []
  const changed = relationsOf(
    written.flatMap(({ changes }) => changes),
    relations,
  )
  if ([...named, ...changed].some(({ strange }) => strange)) return { kind: 'opaque' }
  if (changed.some(({ clock }) => clock)) return { kind: 'upsets' }
  return { kind: 'access', reads, locks: written.flatMap(({ writes }) => writes) }
}

function relationsOf(names: readonly string[], relations: Relations): Relation[] {
  return names.flatMap((name) => relations.get(name) ?? [])
}

function readsClock(text: string, values: readonly unknown[]): boolean {
  return (
    values.some((value) => typeof value === 'string' && CLOCK_VALUE.test(value)) || CLOCK_LITERAL.test(text)
  )
}

/** Names without their quotes, words and single signs, in lower case. */
function wordsOf(text: string): string[] {
  const words = text.match(/"(?:[^"]|"")*"|[\p{L}_][\p{L}\p{N}_$]*|\S/gu) ?? []
  return words.map((word) =>
    (word.length > 2 && word.startsWith('"') ? word.slice(1, -1) : word).toLowerCase(),
  )
}

/** Every function is one that is known, and what stands where a table stands is a table of the catalogue. */
function isKnown(words: readonly string[], relations: Relations): boolean {
  return words.every((word, at) => {
    if (word.startsWith('pg_') || word === 'information_schema' || word === 'nowait') return false
    if (words[at + 1] === '(' && /^[\p{L}_]/u.test(word))
      return BEFORE_PARENTHESIS.has(word) || PURE.has(word) || (relations.has(word) && words.includes('into'))
    const names = /^(from|into|join)$/.test(word) || (word === 'update' && at === 0)
    return !names || words[at + 1] === '(' || relations.has(tableAt(words, at + 1))
  })
}

function tableAt(words: readonly string[], at: number): string {
  const start = words[at] === 'only' ? at + 1 : at
  return (words[start + 1] === '.' ? words[start + 2] : words[start]) ?? ''
}
