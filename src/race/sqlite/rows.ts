import type { SqliteDatabaseLike } from '../../store/sqlite/sqlite-client.ts'
import { type Row, refsByName } from '../generated-ids.ts'
import type { Tables } from '../outcome.ts'

interface Column {
  readonly name: string
  readonly type: string
  readonly pk: number
  readonly dflt_value: string | null
}

/** Reads the schema: ordinary tables, and which of their columns the database fills by itself. */
export function findSqliteTables(db: SqliteDatabaseLike): Tables {
  const names = (
    db
      .prepare(
        `select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' and sql not like 'create virtual%'
         order by name`,
      )
      .all() as { name: string }[]
  ).map(({ name }) => name)
  const columns = new Map(
    names.map((name) => [name, db.prepare('select * from pragma_table_info(?)').all(name) as Column[]]),
  )
  const own = new Map([...columns].map(([name, all]) => [name, ownOf(all)]))
  const generating = names.filter((name) => (own.get(name)?.length ?? 0) > 0)
  return {
    statement: names.join('\n'),
    ids: names.map((name) => {
      const keys = db.prepare('select "from" as "column", "table" from pragma_foreign_key_list(?)').all(name)
      const declared = keys as { column: string; table: string }[]
      const others = (columns.get(name) ?? [])
        .map((column) => column.name)
        .filter(
          (column) => !own.get(name)?.includes(column) && !declared.some((ref) => ref.column === column),
        )
      return {
        name,
        own: own.get(name) ?? [],
        refs: [
          ...declared.filter(({ table }) => generating.includes(table)),
          ...refsByName(others, generating),
        ],
      }
    }),
  }
}

/** The alias of the rowid, and defaults that are random. */
function ownOf(columns: readonly Column[]): string[] {
  const keys = columns.filter(({ pk }) => pk > 0)
  return columns
    .filter(
      ({ pk, type, dflt_value }) =>
        (pk > 0 && keys.length === 1 && /^integer$/i.test(type)) || /random/i.test(dflt_value ?? ''),
    )
    .map(({ name }) => name)
}

export function readSqliteRows(db: SqliteDatabaseLike, tables: Tables): Row[] {
  return tables.ids.flatMap(({ name }) => {
    const statement = db.prepare(`select * from "${name.replaceAll('"', '""')}"`)
    statement.safeIntegers?.(true)
    statement.setReadBigInts?.(true)
    return statement.all().map((row) => ({
      t: name,
      r: Object.fromEntries(
        Object.entries(row as object).map(([column, value]) => [column, comparable(value)]),
      ),
    }))
  })
}

/** As JSON carries it. */
function comparable(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : `${value}`
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
}
