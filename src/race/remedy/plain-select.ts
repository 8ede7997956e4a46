/** Reading a statement far enough to change it, and saying why it cannot be. Text alone: comments and quotes are covered. */

/** The statement with what literals and comments hold covered, so that words are words and places stay the same. */
export function covered(text: string): string {
  return text.replace(/'(?:[^']|'')*'|--[^\n]*|\/\*[\s\S]*?\*\//g, (part) =>
    part.startsWith("'") ? `'${'x'.repeat(part.length - 2)}'` : ' '.repeat(part.length),
  )
}

const OBSTACLES: readonly (readonly [RegExp, string])[] = [
  [/^(?!\s*select\b)/i, 'it is no SELECT'],
  [/;\s*\S/, 'it is several statements'],
  [/\bselect\b[\s\S]*\bselect\b|\b(union|intersect|except)\b/i, 'it holds several SELECTs'],
  [
    /\b(count|sum|avg|min|max|array_agg|json_agg|jsonb_agg|string_agg|bool_or|bool_and)\s*\(/i,
    'it adds up rows',
  ],
  [/\b(group\s+by|having|distinct|over\s*\()/i, 'it adds up rows'],
  [/\bfor\s+(update|share|no\s+key\s+update|key\s+share)\b/i, 'it locks already'],
  [/\bjoin\b|\bfrom\b[^;]*?,[^;]*?(\bwhere\b|$)/i, 'it reads several tables'],
  [/^(?![\s\S]*\bfrom\b)/i, 'it reads no table'],
]

/** Why a SELECT is not one of the rows of a single table; undefined where it is. */
export function whyNotPlain(text: string): string | undefined {
  const bare = covered(text).replace(/\border\s+by\b[\s\S]*$/i, '')
  return OBSTACLES.find(([pattern]) => pattern.test(bare))?.[1]
}

/** The SELECT with FOR UPDATE; for one that is plain. */
export function forUpdate(text: string): string {
  return `${withoutEnd(text)} for update`
}

/** The SELECT with one more column, the last; for one that is plain. */
export function withColumn(text: string, column: string): string {
  const at = /\bfrom\b/i.exec(covered(text))?.index ?? text.length
  return `${text.slice(0, at).trimEnd()}, ${column} ${text.slice(at)}`
}

/** The UPDATE for rows that fulfil one condition more. Undefined for several statements. */
export function withCondition(text: string, condition: string): string | undefined {
  const bare = covered(text)
  if (/;\s*\S/.test(bare)) return undefined
  const where = /\bwhere\b/i.exec(bare)
  const begin = where === null ? 0 : where.index + where[0].length
  const end = begin + (/\s*(\breturning\b|;?\s*$)/i.exec(bare.slice(begin))?.index ?? 0)
  const [before, rest] = [text.slice(0, begin), text.slice(end)]
  return where === null
    ? `${text.slice(0, end)} where ${condition}${rest}`
    : `${before} (${text.slice(begin, end).trim()}) and ${condition}${rest}`
}

const VALUE = String.raw`(?:\$\d+|\?\d*|[:@$][a-z_]\w*|'(?:[^']|'')*'|-?\d+(?:\.\d+)?|true|false)(?:::\w+)?`
const COLUMN_EQUALS = new RegExp(
  String.raw`^[\s(]*(?:(?:"[^"]+"|\w+)\.)?("[^"]+"|[a-z_]\w*)\s*=\s*${VALUE}[\s)]*$`,
  'i',
)

/**
 * The columns that a condition compares with a value each, all by `and`, in their order there; undefined where it does
 * anything else.
 */
export function comparedColumns(where: string): string[] | undefined {
  const parts = covered(where).split(/\band\b/i)
  const columns = parts.flatMap((part) => COLUMN_EQUALS.exec(part)?.[1] ?? [])
  return columns.length === parts.length ? columns : undefined
}

const NAME = String.raw`(?:"[^"]+"|[\w$]+)`
const INSERT = new RegExp(
  String.raw`\binsert\s+into\s+(${NAME}(?:\.${NAME})?)\s*(?:as\s+\w+\s*)?(?:\(([^)]*)\))?`,
  'i',
)

export interface InsertTarget {
  /** As it is written there. */
  readonly table: string
  /** Without quotes, in lower case; undefined where the statement does not name them. */
  readonly columns: readonly string[] | undefined
}

export function insertTarget(text: string): InsertTarget | undefined {
  const found = INSERT.exec(text)
  if (found === null) return undefined
  const columns = found[2]?.split(',').map((column) => column.trim().replaceAll('"', '').toLowerCase())
  return { table: found[1] as string, columns }
}

function withoutEnd(text: string): string {
  return text.replace(/;?\s*$/, '')
}
