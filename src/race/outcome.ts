/** What a schedule left behind, in a form that can be compared. */
import { textOf } from './error-report.ts'
import { type Names, nameIds, type Row, refsByName, type TableIds } from './generated-ids.ts'
import type { RawClient } from './intercept-pg.ts'
import { plain } from './returned.ts'
import type { Run } from './scheduler.ts'
import { EPOCH_MS } from './virtual.ts'

/** The tables whose rows are compared. */
export interface Tables {
  readonly statement: string
  readonly ids: readonly TableIds[]
}

export interface Outcome {
  /** One line per row, sorted: generated ids renamed, clocks masked. */
  readonly rows: string
  /** Per task: the returned value, or undefined where it failed. */
  readonly values: readonly (string | undefined)[]
  /** Per task: the error, or undefined. */
  readonly errors: readonly (string | undefined)[]
}

const DAY_MS = 86_400_000

/** Reads the catalogue once, after the first set-up. */
export async function findTables(control: RawClient): Promise<Tables> {
  const { rows } = await control.query(`
    select format('%I.%I', n.nspname, c.relname) as name,
           coalesce((select json_agg(a.attname) from pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]') as columns,
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
  const tables = rows as (TableIds & { readonly columns: readonly string[] })[]
  const generating = new Set(tables.filter(({ own }) => own.length > 0).map(({ name }) => name))
  return {
    statement: tables
      .map(({ name }) => `select '${name.replaceAll("'", "''")}' as t, to_jsonb(x) as r from ${name} x`)
      .join(' union all '),
    ids: tables.map(({ name, own, refs, columns }) => ({
      name,
      own,
      refs: [
        ...refs.filter((ref) => generating.has(ref.table)),
        ...refsByName(
          columns.filter((column) => !own.includes(column) && !refs.some((ref) => ref.column === column)),
          generating,
        ),
      ],
    })),
  }
}

export async function readRows(control: RawClient, tables: Tables): Promise<readonly Row[]> {
  if (tables.statement === '') return []
  // Prepared: planning a union of all tables takes the server longer than reading them.
  return (await control.query({ name: 'holdfast_race_rows', text: tables.statement })).rows as Row[]
}

/** Pure. `before` is what the set-up left: its ids are the same each time, and keep their numbers. */
export function outcomeOf(
  run: Pick<Run, 'results'>,
  after: readonly Row[],
  before: readonly Row[],
  tables: Tables,
): Outcome {
  const names = nameIds(tables.ids, before, after, (value) => masked(value))
  const lines = after.map(({ t, r }) => {
    const named = Object.entries(r).map(([column, value]) => [
      column,
      (names.ofColumn(t, column, value) ?? { named: masked(value, names) }).named,
    ])
    return `${t} ${JSON.stringify(Object.fromEntries(named))}`
  })
  return {
    rows: lines.sort().join('\n'),
    values: run.results.map((result) =>
      'value' in result ? (JSON.stringify(masked(plain(result.value), names)) ?? 'undefined') : undefined,
    ),
    errors: run.results.map((result) => ('error' in result ? errorText(result.error) : undefined)),
  }
}

/** The same rows, values and errors. */
export function sameOutcome(a: Outcome, b: Outcome): boolean {
  return a.rows === b.rows && same(a.values, b.values) && same(a.errors, b.errors)
}

/** Instants near now become one word, at any depth; so do ids, where `names` is given. */
function masked(value: unknown, names?: Names, under = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => masked(item, names, under))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, masked(item, names, name)]))
  }
  const name = names?.ofValue(value, under)
  if (name !== undefined) return name
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d/.test(value))
    return isNear(Date.parse(value)) ? '<clock>' : value
  // A number of milliseconds since 1970: no other number is likely to lie just there.
  return typeof value === 'number' && isNear(value) ? '<clock>' : value
}

/** Within two days of the clock, or of that of the tasks. */
function isNear(atMs: number): boolean {
  return [Date.now(), EPOCH_MS].some((now) => Math.abs(atMs - now) < 2 * DAY_MS)
}

function errorText(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : textOf(error)
}

function same(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index])
}
