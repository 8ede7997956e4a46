/** Ids that the database made: two outcomes are the same when one renaming of these makes them so. */

export interface Row {
  /** The table. */
  readonly t: string
  readonly r: Readonly<Record<string, unknown>>
}

/** A table with the columns that the database fills by itself, and those that refer to such a column elsewhere. */
export interface TableIds {
  readonly name: string
  readonly own: readonly string[]
  readonly refs: readonly { readonly column: string; readonly table: string }[]
}

/** `order_id` refers to `order` or `orders`, although no foreign key says so. */
export function refsByName(
  columns: readonly string[],
  tables: Iterable<string>,
): { readonly column: string; readonly table: string }[] {
  const byName = new Map([...tables].map((table) => [bareName(table), table]))
  return columns.flatMap((column) => {
    const [, stem] = /^(.+?)_?id$/i.exec(column) ?? []
    if (stem === undefined) return []
    const singular = stem.toLowerCase()
    const plurals = [singular, `${singular}s`, `${singular}es`, singular.replace(/y$/, 'ies')]
    const table = plurals.map((name) => byName.get(name)).find((found) => found !== undefined)
    return table === undefined ? [] : [{ column, table }]
  })
}

function bareName(table: string): string {
  return (table.split('.').at(-1) ?? table).replaceAll('"', '').toLowerCase()
}

/** Names in place of the ids that were generated during the schedule. */
export interface Names {
  /** For a column of ids: the name, or the value as it is where the set-up made it. Undefined for other columns. */
  ofColumn(table: string, column: string, value: unknown): { readonly named: unknown } | undefined
  /** For a value in JSON or in what a task returned, under this name there. */
  ofValue(value: unknown, under: string): string | undefined
}

/** Rounds in which ids learn from the rows that refer to them, and from those that these refer to. */
const ROUNDS = 3

/**
 * Names each new id after the content of its row, ids in it named in the same way, so that the name does not depend on
 * which number the database happened to give. Rows of equal content get equal names, which makes them interchangeable.
 * Pure. @see Weisfeiler, Leman 1968, colour refinement
 */
export function nameIds(
  tables: readonly TableIds[],
  before: readonly Row[],
  after: readonly Row[],
  plain: (value: unknown) => unknown,
): Names {
  const known = new Set(before.flatMap((row) => idsOf(tables, row).map((id) => id.key)))
  let names = new Map<string, string>()
  for (const row of after)
    for (const { key, table } of idsOf(tables, row)) if (!known.has(key)) names.set(key, `new ${table}`)
  const fresh = namesOver(tables, () => names)
  for (let round = 0; round < ROUNDS && names.size > 0; round++) {
    const next = new Map<string, string[]>()
    for (const row of after) {
      const text = `${row.t} ${JSON.stringify(
        Object.entries(row.r).map(([column, value]) => [
          column,
          (fresh.ofColumn(row.t, column, value) ?? { named: plain(value) }).named,
        ]),
      )}`
      // Its own row, and each row that refers to it.
      for (const { key, column } of mentionsOf(tables, row))
        if (names.has(key)) next.set(key, [...(next.get(key) ?? []), `${column} in ${text}`])
    }
    names = new Map([...names].map(([key]) => [key, `#${hash((next.get(key) ?? []).sort().join('\n'))}`]))
  }
  return fresh
}

function namesOver(tables: readonly TableIds[], names: () => ReadonlyMap<string, string>): Names {
  const byTable = new Map(tables.map((table) => [table.name, table]))
  const targetOf = (table: string, column: string): string | undefined => {
    const found = byTable.get(table)
    return (
      found?.refs.find((ref) => ref.column === column)?.table ??
      (found?.own.includes(column) ? table : undefined)
    )
  }
  return {
    ofColumn(table, column, value) {
      const target = targetOf(table, column)
      return target === undefined ? undefined : { named: names().get(keyOf(target, value)) ?? value }
    },
    ofValue(value, under) {
      if (typeof value !== 'string' && typeof value !== 'number') return undefined
      // A short text or a number may be anything, unless it stands under the name of an id.
      if (String(value).length < 16 && !/id$/i.test(under)) return undefined
      const found = new Set(
        tables.flatMap(({ name, own }) => (own.length > 0 ? (names().get(keyOf(name, value)) ?? []) : [])),
      )
      return found.size === 0 ? undefined : [...found].sort().join('|')
    },
  }
}

/** The ids that this row is known by. */
function idsOf(tables: readonly TableIds[], { t, r }: Row): { key: string; table: string }[] {
  const own = tables.find((table) => table.name === t)?.own ?? []
  return own.flatMap((column) =>
    r[column] === null || r[column] === undefined ? [] : [{ key: keyOf(t, r[column]), table: t }],
  )
}

/** Its own ids and those that it refers to. */
function mentionsOf(tables: readonly TableIds[], { t, r }: Row): { key: string; column: string }[] {
  const table = tables.find((one) => one.name === t)
  const own = (table?.own ?? []).map((column) => ({ column, target: t }))
  const refs = (table?.refs ?? []).map((ref) => ({ column: ref.column, target: ref.table }))
  return [...own.filter((one) => !refs.some((ref) => ref.column === one.column)), ...refs].flatMap(
    ({ column, target }) =>
      r[column] === null || r[column] === undefined ? [] : [{ key: keyOf(target, r[column]), column }],
  )
}

function keyOf(table: string, value: unknown): string {
  return `${table}=${String(value)}`
}

/** FNV-1a over UTF-16, twice with different starts: names only have to differ. */
function hash(text: string): string {
  let [a, b] = [0x811c9dc5, 0x01000193]
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193)
    b = Math.imul(b ^ text.charCodeAt(i), 0x85ebca6b)
  }
  return ((a >>> 0).toString(36) + (b >>> 0).toString(36)).padStart(12, '0')
}
