/**
 * A statement under construction: text with values and names kept apart, so that values always travel as parameters
 * and each dialect writes its own placeholders and quotes.
 */
export class Sql {
  /** Set when the statement is one template with nothing but values in its holes. */
  readonly template: Template | undefined
  #parts: readonly SqlPart[] | undefined

  constructor(from: readonly SqlPart[] | Template) {
    if ('strings' in from) this.template = from
    else this.#parts = from
  }

  get parts(): readonly SqlPart[] {
    this.#parts ??= partsOf(this.template as Template)
    return this.#parts
  }
}

export interface Template {
  readonly strings: TemplateStringsArray
  readonly values: readonly SqlValue[]
}

export type SqlPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly value: SqlValue }
  | { readonly kind: 'name'; readonly path: readonly string[] }

/** What both drivers accept as a parameter. Arrays are for PostgreSQL's array parameters only. */
export type SqlValue = string | number | bigint | boolean | null | Uint8Array | Date | readonly SqlValue[]

/** Builds a statement: `${value}` becomes a parameter, `${sql.ident('t')}` a quoted name, `${fragment}` is spliced in. */
export function sql(strings: TemplateStringsArray, ...holes: readonly (SqlValue | Sql)[]): Sql {
  const template = { strings, values: holes as readonly SqlValue[] }
  return new Sql(holes.some(isSql) ? partsOf(template) : template)
}

function isSql(hole: SqlValue | Sql): hole is Sql {
  return hole instanceof Sql
}

/** With what fragments say in their place. */
function partsOf({
  strings,
  values,
}: {
  strings: TemplateStringsArray
  values: readonly (SqlValue | Sql)[]
}): SqlPart[] {
  const parts: SqlPart[] = []
  const texts = textsOf(strings)
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i]
    if (text !== undefined) parts.push(text)
    if (i >= values.length) continue
    const hole = values[i] as SqlValue | Sql
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
sql.ident = (...path: readonly string[]): Sql => new Sql([{ kind: 'name', path }])

/** The names of columns, quoted and with commas between them. One list of columns is quoted once. */
sql.names = (columns: readonly (string | { readonly name: string })[]): Sql => {
  let names = lists.get(columns)
  if (names === undefined) {
    names = sql.join(columns.map((column) => sql.ident(typeof column === 'string' ? column : column.name)))
    lists.set(columns, names)
  }
  return names
}

const lists = new WeakMap<readonly unknown[], Sql>()

/** Text taken as it is. Only for constants of the program, never for anything that came from outside. */
sql.raw = (text: string): Sql => new Sql([{ kind: 'text', text }])

sql.join = (fragments: readonly Sql[], separator = ', '): Sql => {
  const between: SqlPart = { kind: 'text', text: separator }
  const parts: SqlPart[] = []
  fragments.forEach((fragment, i) => {
    if (i > 0) parts.push(between)
    for (const part of fragment.parts) parts.push(part)
  })
  return new Sql(parts)
}

/** A statement as the driver takes it. */
export interface CompiledSql {
  readonly text: string
  readonly values: readonly SqlValue[]
}

export function compileSql(statement: Sql, spelling: Spelling): CompiledSql {
  const { template } = statement
  if (template !== undefined) return { text: textIn(spelling, template.strings), values: template.values }
  const values: SqlValue[] = []
  let text = ''
  for (const part of statement.parts) {
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

/** The text of a template with values alone, which is the same each time its line runs. */
function textIn(spelling: Spelling, strings: TemplateStringsArray): string {
  let known = spelled.get(spelling)
  if (known === undefined) {
    known = new WeakMap()
    spelled.set(spelling, known)
  }
  let text = known.get(strings)
  if (text === undefined) {
    text = strings.reduce((before, after, i) => before + spelling.placeholder(i) + after)
    known.set(strings, text)
  }
  return text
}

const spelled = new WeakMap<Spelling, WeakMap<TemplateStringsArray, string>>()
