import { ConfigError } from '../../core/errors.ts'
import type { RecordedPool, RecordOptions } from './record.ts'
import type { RecordedResult } from './sent.ts'

/** A recorded table and where its columns stand, as the server numbers them. */
export interface TrackedTable {
  /** As the options name it. */
  readonly name: string
  /** Without the schema. */
  readonly bare: string
  readonly key: number
  readonly version: number
}

/** Asks the catalog once. Names are found by the search path unless they carry their schema. */
export async function tablesOf(
  pool: RecordedPool,
  versions: RecordOptions['versions'],
): Promise<Map<number, TrackedTable>> {
  const wanted = Object.entries(versions).map(([name, given]) => ({
    name,
    version: typeof given === 'string' ? given : given.version,
    key: typeof given === 'string' ? 'id' : (given.key ?? 'id'),
  }))
  const { rows } = await pool.query(
    `select w.name, c.oid::int8::text as oid, c.relname as bare,
       (select attnum from pg_attribute where attrelid = c.oid and attname = w.key and not attisdropped) as key,
       (select attnum from pg_attribute where attrelid = c.oid and attname = w.version and not attisdropped) as version
     from unnest($1::text[], $2::text[], $3::text[]) as w (name, key, version)
     left join pg_class c on c.oid = to_regclass(w.name)`,
    [wanted.map((w) => w.name), wanted.map((w) => w.key), wanted.map((w) => w.version)],
  )
  const found = rows as {
    name: string
    oid: string | null
    bare: string
    key: number | null
    version: number | null
  }[]
  const problems = found.flatMap(({ name, oid, key, version }) => {
    const of = wanted.find((w) => w.name === name)
    if (oid === null) return [`there is no table ${name}`]
    return [
      ...(key === null ? [`table ${name} has no column ${of?.key}`] : []),
      ...(version === null ? [`table ${name} has no column ${of?.version}`] : []),
    ]
  })
  if (problems.length > 0) throw new ConfigError('record', problems)
  return new Map(
    found.map(({ name, oid, bare, key, version }) => [
      Number(oid),
      { name, bare, key: key as number, version: version as number },
    ]),
  )
}

/** Which recorded tables show their key and version in a result, and in which of its columns. */
export function keyed(
  tables: ReadonlyMap<number, TrackedTable>,
  fields: NonNullable<RecordedResult['fields']>,
): { table: TrackedTable; key: number; version: number }[] {
  const found: { table: TrackedTable; key: number; version: number }[] = []
  for (const [oid, table] of tables) {
    const key = fields.findIndex((f) => f.tableID === oid && f.columnID === table.key)
    const version = fields.findIndex((f) => f.tableID === oid && f.columnID === table.version)
    if (key >= 0 && version >= 0) found.push({ table, key, version })
  }
  return found
}
