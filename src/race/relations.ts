/** What the catalogue tells of the tables: who else is touched with them, and which of them hide more than their names say. */
import type { RawClient } from './intercept-pg.ts'
import { CLOCK_TEXTS, PURE_FUNCTIONS } from './sql-words.ts'

export interface Relation {
  /** What a statement that writes here may lock or change: the table, those tied to it by foreign keys, its sequences. */
  readonly writes: readonly string[]
  /** Tables whose rows it may change, so that their triggers run and their defaults are taken: itself, and where foreign keys cascade to. */
  readonly changes: readonly string[]
  /** A view, a sequence, a partition, a table with triggers, rules, policies or functions of the user's: what it touches is not known. */
  readonly strange: boolean
  /** A default reads the clock, so that the order of two inserts anywhere can be told from the rows. */
  readonly clock: boolean
}

/** By name without a schema, in lower case: two tables of the same name count as one. */
export type Relations = ReadonlyMap<string, Relation>

/**
 * Reads the catalogue once, after the first set-up. Undefined where statements cannot be understood from their texts: the
 * default isolation is above READ COMMITTED, or operators, casts or well-known function names are the user's own.
 */
export async function readRelations(control: RawClient): Promise<Relations | undefined> {
  const { rows } = await control.query(RELATIONS, [PURE_FUNCTIONS])
  const found = rows as {
    name: string
    plain: boolean
    strange: boolean
    defaults: string[]
    tied: string[]
    cascades: string[]
  }[]
  if (found.some(({ plain }) => !plain)) return undefined
  const [tied, cascades] = [new Map<string, string[]>(), new Map<string, string[]>()]
  for (const row of found) {
    join(tied, row.name, row.tied)
    join(cascades, row.name, row.cascades)
  }
  const relations = new Map<string, Relation>()
  for (const { name, strange, defaults } of found) {
    const key = name.toLowerCase()
    const before = relations.get(key)
    relations.set(key, {
      writes: [...reached(key, tied), ...defaults.flatMap(sequencesOf), ...(before?.writes ?? [])],
      changes: reached(key, cascades),
      strange: strange || before?.strange === true || defaults.some((text) => !isKnown(text)),
      clock: before?.clock === true || defaults.some((text) => CLOCK.test(text)),
    })
  }
  return relations
}

const CLOCK = new RegExp(
  String.raw`\b(now|current_\w+|local(time|timestamp)|\w+_timestamp|timeofday)\b|'(${CLOCK_TEXTS})'`,
  'i',
)

function sequencesOf(text: string): string[] {
  return [...text.matchAll(/nextval\('([^']+)'/gi)].map(([, name]) => `sequence ${name}`)
}

/** A constant, the next of a sequence, a random id, the clock. */
function isKnown(text: string): boolean {
  const functions = [...text.matchAll(/([\w.]+)\s*\(/g)].map(([, name]) => (name as string).toLowerCase())
  return functions.every(
    (name) => /^(nextval|gen_random_uuid|uuid_generate_v4)$/.test(name) || CLOCK.test(name),
  )
}

function join(to: Map<string, string[]>, name: string, others: readonly string[]): void {
  const key = name.toLowerCase()
  to.set(key, [...(to.get(key) ?? []), ...others.map((other) => other.toLowerCase())])
}

/** The table and those that these lead to, and on. */
function reached(from: string, edges: ReadonlyMap<string, readonly string[]>): string[] {
  const seen = new Set([from])
  for (const name of seen) for (const other of edges.get(name) ?? []) seen.add(other)
  return [...seen]
}

/** Functions that come with PostgreSQL are pinned and leave no row in pg_depend: what is there are the user's. */
const RELATIONS = `
  select c.relname as name,
    current_setting('default_transaction_isolation') in ('read committed', 'read uncommitted')
      and not exists (select from pg_catalog.pg_operator where oid >= 16384)
      and not exists (select from pg_catalog.pg_cast where oid >= 16384)
      and not exists (select from pg_catalog.pg_proc where oid >= 16384 and proname = any ($1)) as plain,
    c.relkind <> 'r' or c.relhasrules or c.relrowsecurity or c.relispartition
      or exists (select from pg_catalog.pg_inherits i where c.oid in (i.inhrelid, i.inhparent))
      or exists (select from pg_catalog.pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal)
      or exists (select from pg_catalog.pg_depend d where d.refclassid = 'pg_proc'::regclass and (
           d.classid = 'pg_attrdef'::regclass and d.objid in (select oid from pg_catalog.pg_attrdef where adrelid = c.oid)
           or d.classid = 'pg_constraint'::regclass and d.objid in (
                select oid from pg_catalog.pg_constraint where conrelid = c.oid or contypid <> 0)
           or d.classid = 'pg_class'::regclass and d.objid in (
                select indexrelid from pg_catalog.pg_index where indrelid = c.oid))) as strange,
    coalesce((select json_agg(pg_catalog.pg_get_expr(adbin, adrelid)) from pg_catalog.pg_attrdef where adrelid = c.oid), '[]')
      as defaults,
    coalesce((select json_agg(o.relname) from pg_catalog.pg_constraint k
        join pg_catalog.pg_class o on o.oid in (k.conrelid, k.confrelid) and o.oid <> c.oid
        where k.contype = 'f' and c.oid in (k.conrelid, k.confrelid)), '[]') as tied,
    coalesce((select json_agg(o.relname) from pg_catalog.pg_constraint k join pg_catalog.pg_class o on o.oid = k.conrelid
        where k.contype = 'f' and k.confrelid = c.oid and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd'))),
      '[]') as cascades
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'v', 'm', 'f', 'p', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')`
