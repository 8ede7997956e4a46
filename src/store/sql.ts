/**
 * A statement under construction: text with values and names kept apart, so that values always travel as parameters
 * and each dialect writes its own placeholders and quotes.
 */
export class Sql {
  readonly parts: readonly SqlPart[]

  constructor(parts: readonly SqlPart[]) {
    this.parts = parts
  }
}

export type SqlPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly value: SqlValue }
  | { readonly kind: 'name'; readonly path: readonly string[] }

/** What both drivers accept as a parameter. Arrays are for PostgreSQL's array parameters only. */
export type SqlValue = string | number | bigint | boolean | null | Uint8Array | Date | readonly SqlValue[]

/** Builds a statement: `${value}` becomes a parameter, `${sql.ident('t')}` a quoted name, `${fragment}` is spliced in. */
export function sql(strings: TemplateStringsArray, ...holes: readonly (SqlValue | Sql)[]): Sql {
  const parts: SqlPart[] = []
  strings.forEach((text, i) => {
    if (text !== '') parts.push({ kind: 'text', text })
    if (i >= holes.length) return
    const hole = holes[i] as SqlValue | Sql
    if (hole instanceof Sql) parts.push(...hole.parts)
    else parts.push({ kind: 'value', value: hole })
  })
  return new Sql(parts)
}

/** A quoted name; several arguments make a qualified one (`"schema"."table"`). */
sql.ident = (...path: readonly string[]): Sql => new Sql([{ kind: 'name', path }])

/** Text taken as it is. Only for constants of the program, never for anything that came from outside. */
sql.raw = (text: string): Sql => new Sql([{ kind: 'text', text }])

sql.join = (fragments: readonly Sql[], separator = ', '): Sql =>
  new Sql(
    fragments.flatMap((f, i) =>
      i === 0 ? f.parts : [{ kind: 'text' as const, text: separator }, ...f.parts],
    ),
  )

/** A statement as the driver takes it. */
export interface CompiledSql {
  readonly text: string
  readonly values: readonly SqlValue[]
}

export function compileSql(
  statement: Sql,
  spelling: { quoteName(name: string): string; placeholder(position: number): string },
): CompiledSql {
  const values: SqlValue[] = []
  let text = ''
  for (const part of statement.parts) {
    if (part.kind === 'text') text += part.text
    else if (part.kind === 'name') text += part.path.map((n) => spelling.quoteName(n)).join('.')
    else text += spelling.placeholder(values.push(part.value))
  }
  return { text, values }
}
