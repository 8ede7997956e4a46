import type { RawClient } from './intercept-pg.ts'
import type { Run } from './scheduler.ts'

/** The tables whose rows are compared, with the columns that the database fills by itself. */
export interface Tables {
  readonly statement: string
  readonly generated: ReadonlyMap<string, ReadonlySet<string>>
}

/** What a schedule left behind, in a form that can be compared: generated ids renamed, clocks masked. */
export interface Outcome {
  readonly rows: string
  /** Per task: the returned value, or undefined where it failed. */
  readonly values: readonly (string | undefined)[]
  /** Per task: the error, or undefined. */
  readonly errors: readonly (string | undefined)[]
}

import { EPOCH_MS } from './virtual.ts'

const DAY_MS = 86_400_000

/** Reads the catalogue once, after the first set-up. */
export async function findTables(control: RawClient): Promise<Tables> {
  const { rows } = await control.query(`
    select format('%I.%I', n.nspname, c.relname) as name,
           coalesce((select json_agg(a.attname) from pg_attribute a
              left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
              where a.attrelid = c.oid and a.attnum > 0
                and (a.attidentity <> '' or pg_get_expr(d.adbin, d.adrelid) ~ 'nextval|uuid')), '[]') as own,
           coalesce((select json_agg(json_build_object('column', a.attname, 'table', format('%I.%I', fn.nspname, f.relname)))
              from pg_constraint k join pg_class f on f.oid = k.confrelid join pg_namespace fn on fn.oid = f.relnamespace
              join pg_attribute a on a.attrelid = c.oid and a.attnum = any (k.conkey)
              where k.contype = 'f' and k.conrelid = c.oid), '[]') as refs
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r') and not c.relispartition and n.nspname !~ '^(pg_|information_schema)' order by 1`)
  const tables = rows as { name: string; own: string[]; refs: { column: string; table: string }[] }[]
  const generated = new Map(tables.map(({ name, own }) => [name, new Set(own)]))
  for (const { name, refs } of tables) {
    for (const { column, table } of refs)
      if ((generated.get(table)?.size ?? 0) > 0) generated.get(name)?.add(column)
  }
  const statement = tables
    .map(({ name }) => `select '${name.replaceAll("'", "''")}' as t, to_jsonb(x) as r from ${name} x`)
    .join(' union all ')
  return { statement, generated }
}

export interface Snapshot {
  readonly rows: readonly { readonly t: string; readonly r: Record<string, unknown> }[]
}

export async function readRows(control: RawClient, tables: Tables): Promise<Snapshot> {
  if (tables.statement === '') return { rows: [] }
  const { rows } = await control.query(tables.statement)
  return { rows: rows as Snapshot['rows'] }
}

/** Pure: compares nothing itself. `before` is what the set-up left: its ids are not renamed, the same each time. */
export function outcomeOf(run: Run, after: Snapshot, before: Snapshot, tables: Tables): Outcome {
  const known = idsOf(before, tables)
  const made = new Set([...idsOf(after, tables)].filter((id) => !known.has(id)))
  const lines = after.rows.map(({ t, r }) => {
    const own = tables.generated.get(t)
    const masked = Object.fromEntries(
      Object.entries(r).map(([column, value]) => [
        column,
        own?.has(column) && !known.has(String(value)) && value !== null ? '<id>' : mask(value, made),
      ]),
    )
    return `${t} ${JSON.stringify(masked)}`
  })
  return {
    rows: lines.sort().join('\n'),
    values: run.results.map((result) =>
      'value' in result ? (JSON.stringify(mask(plain(result.value), made)) ?? 'undefined') : undefined,
    ),
    errors: run.results.map((result) => ('error' in result ? errorText(result.error) : undefined)),
  }
}

function idsOf(snapshot: Snapshot, tables: Tables): Set<string> {
  const ids = new Set<string>()
  for (const { t, r } of snapshot.rows) {
    for (const column of tables.generated.get(t) ?? []) if (r[column] !== null) ids.add(String(r[column]))
  }
  return ids
}

function mask(value: unknown, made: ReadonlySet<string>, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => mask(item, made, key))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, mask(item, made, name)]))
  }
  if (typeof value === 'string') {
    if (made.has(value) && (value.length >= 16 || /id$/i.test(key))) return '<id>'
    if (/^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/.test(value)) {
      const at = Date.parse(value)
      if ([Date.now(), EPOCH_MS].some((now) => Math.abs(at - now) < 2 * DAY_MS)) return '<clock>'
    }
  }
  if (typeof value === 'number' && made.has(String(value)) && /id$/i.test(key)) return '<id>'
  return value
}

/** As JSON would carry it, bigints as text. */
function plain(value: unknown): unknown {
  if (value === undefined) return undefined
  const text = JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}n` : item))
  return text === undefined ? undefined : JSON.parse(text)
}

function errorText(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

/** The same rows, values and errors. */
export function sameOutcome(a: Outcome, b: Outcome): boolean {
  return a.rows === b.rows && same(a.values, b.values) && same(a.errors, b.errors)
}

function same(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index])
}
