import { ConfigError } from '../core/errors.ts'
import { type Check, checkArguments, hasMethods, isList, isText, show } from '../core/options.ts'
/**
 * A statement under construction: text with values and names kept apart, so that values always travel as parameters
 * and each dialect writes its own placeholders and quotes.
 */
export class Sql {
  /** Set when the statement is one template, whose text follows from its line and the fragments in its holes. */
  readonly template: Template | undefined
  #parts: readonly SqlPart[] | undefined
  #constant: boolean | undefined

  constructor(from: readonly SqlPart[] | Template) {
    if (Array.isArray(from)) this.#parts = from
    else if (Array.isArray((from as Partial<Template> | undefined)?.strings)) this.template = from as Template
    else throw new ConfigError('sql', [NOT_A_TEMPLATE])
  }

  get parts(): readonly SqlPart[] {
    this.#parts ??= partsOf(this.template as Template)
    return this.#parts
  }

  /** True when it holds no value, as names and texts do. */
  get constant(): boolean {
    this.#constant ??= this.parts.every((part) => part.kind !== 'value')
    return this.#constant
  }
}

export interface Template {
  readonly strings: TemplateStringsArray
  readonly holes: readonly (SqlValue | Sql)[]
}

export type SqlPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly value: SqlValue }
  | { readonly kind: 'name'; readonly path: readonly string[] }

/** What both drivers accept as a parameter. Arrays are for PostgreSQL's array parameters only. */
export type SqlValue = string | number | bigint | boolean | null | Uint8Array | Date | readonly SqlValue[]

/** Builds a statement: `${value}` becomes a parameter, `${sql.ident('t')}` a quoted name, `${fragment}` is spliced in. */
export function sql(strings: TemplateStringsArray, ...holes: readonly (SqlValue | Sql)[]): Sql {
  return new Sql({ strings, holes })
}

const NOT_A_TEMPLATE =
  'it is a tag, so write sql`select …`; a text that the program holds as a constant goes into sql.raw(text)'

function isSql(hole: SqlValue | Sql): hole is Sql {
  return hole instanceof Sql
}

function isValue(hole: SqlValue | Sql): hole is SqlValue {
  return !(hole instanceof Sql)
}

/** With what fragments say in their place. */
function partsOf({ strings, holes }: Template): SqlPart[] {
  const parts: SqlPart[] = []
  const texts = textsOf(strings)
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i]
    if (text !== undefined) parts.push(text)
    if (i >= holes.length) continue
    const hole = holes[i] as SqlValue | Sql
    if (hole instanceof Sql) for (const part of hole.parts) parts.push(part)
    else parts.push({ kind: 'value', value: hole })
  }
  return parts
}

/** The texts of a template, which are the same each time its line runs; undefined where there is none. */
function textsOf(strings: TemplateStringsArray): readonly (SqlPart | undefined)[] {
  let texts = templates.get(strings)
  if (texts === undefined) {
    texts = strings.map((text) => (text === '' ? undefined : { kind: 'text', text }))
    templates.set(strings, texts)
  }
  return texts
}

const templates = new WeakMap<TemplateStringsArray, readonly (SqlPart | undefined)[]>()

/** A quoted name; several arguments make a qualified one (`"schema"."table"`). */
sql.ident = (...path: readonly string[]): Sql => {
  if (path.length === 0 || !path.every((name) => typeof name === 'string'))
    checkArguments('sql.ident', isText('the name', path[0]), ...path.map((name) => isText('each name', name)))
  return new Sql([{ kind: 'name', path }])
}

/** The names of columns, quoted and with commas between them. One list of columns is quoted once. */
sql.names = (columns: readonly (string | { readonly name: string })[]): Sql => {
  checkArguments('sql.names', isList('columns', columns))
  let names = lists.get(columns)
  if (names === undefined) {
    names = sql.join(columns.map((column) => sql.ident(typeof column === 'string' ? column : column?.name)))
    lists.set(columns, names)
  }
  return names
}

const lists = new WeakMap<readonly unknown[], Sql>()

/** Text taken as it is. Only for constants of the program, never for anything that came from outside. */
sql.raw = (text: string): Sql => {
  checkArguments('sql.raw', isText('text', text))
  return new Sql([{ kind: 'text', text }])
}

sql.join = (fragments: readonly Sql[], separator = ', '): Sql => {
  checkArguments('sql.join', areFragments(fragments), isText('separator', separator))
  const between: SqlPart = { kind: 'text', text: separator }
  const parts: SqlPart[] = []
  fragments.forEach((fragment, i) => {
    if (i > 0) parts.push(between)
    for (const part of fragment.parts) parts.push(part)
  })
  return new Sql(parts)
}

function areFragments(fragments: unknown): Check {
  return (
    (Array.isArray(fragments) && fragments.every(isStatement)) ||
    `fragments must be an array of what sql\`…\` makes, got ${show(fragments)}`
  )
}

/** Of any copy of the package. */
function isStatement(value: unknown): value is Sql {
  return typeof value === 'object' && value !== null && 'template' in value && 'parts' in value
}

/** A statement as the driver takes it. */
export interface CompiledSql {
  readonly text: string
  readonly values: readonly SqlValue[]
}

export function compileSql(statement: Sql, spelling: Spelling): CompiledSql {
  if (!isStatement(statement))
    throw new ConfigError('the statement', [
      `it must be a string, or made by sql\`…\`, got ${show(statement)}`,
    ])
  if (typeof spelling?.quoteName !== 'function')
    checkArguments('compileSql', hasMethods('spelling', spelling, 'a dialect', 'quoteName', 'placeholder'))
  const { template } = statement
  if (template === undefined) return compileParts(statement.parts, spelling)
  const { strings, holes } = template
  const fragments = holes.filter(isSql)
  if (!fragments.every((fragment) => fragment.constant)) return compileParts(statement.parts, spelling)
  return {
    text: textIn(spelling, strings, fragments, () => compileParts(statement.parts, spelling).text),
    values: fragments.length === 0 ? (holes as readonly SqlValue[]) : holes.filter(isValue),
  }
}

function compileParts(parts: readonly SqlPart[], spelling: Spelling): CompiledSql {
  const values: SqlValue[] = []
  let text = ''
  for (const part of parts) {
    if (part.kind === 'text') text += part.text
    else if (part.kind === 'name') text += part.path.map((n) => spelling.quoteName(n)).join('.')
    else text += spelling.placeholder(values.push(part.value))
  }
  return { text, values }
}

/** How a dialect writes names and parameters. */
export interface Spelling {
  quoteName(name: string): string
  placeholder(position: number): string
}

/**
 * The text of a template whose fragments hold no values: it is the same each time its line runs with the same fragments.
 * The first one is most often the name of a table, of which each store keeps one, so it finds the store's own text.
 */
function textIn(
  spelling: Spelling,
  strings: TemplateStringsArray,
  fragments: readonly Sql[],
  compose: () => string,
): string {
  const byLine = entryOf(spelled, spelling, newMap<TemplateStringsArray, WeakMap<object, Spelled>>)
  const byFragment = entryOf(byLine, strings, newMap<object, Spelled>)
  const first = fragments[0] ?? strings
  const known = byFragment.get(first)
  if (known?.fragments.every((fragment, i) => fragment === fragments[i])) return known.text
  const text = compose()
  byFragment.set(first, { fragments, text })
  return text
}

interface Spelled {
  readonly fragments: readonly Sql[]
  readonly text: string
}

const spelled = new WeakMap<Spelling, WeakMap<TemplateStringsArray, WeakMap<object, Spelled>>>()

function newMap<K extends WeakKey, V>(): WeakMap<K, V> {
  return new WeakMap()
}

function entryOf<K extends WeakKey, V>(map: WeakMap<K, V>, key: K, make: () => V): V {
  let entry = map.get(key)
  if (entry === undefined) {
    entry = make()
    map.set(key, entry)
  }
  return entry
}
