import { compileSql, type Store, sql, type TableSet } from '../store/index.ts'

/** Tables of `set`, without the prefix. Pure: the migrations are asked for their statements, and what they name is noted. */
export function tablesOf({ migrations }: TableSet, dialect: 'sqlite' | 'postgres'): string[] {
  const names = new Set<string>()
  for (const { statements } of migrations) {
    const table = (name: string): string => {
      names.add(name)
      return name
    }
    statements[dialect]({ table, index: (name) => name })
  }
  return [...names]
}

/** Those of `names` that the store does not have, with the prefix. Reads only. */
export async function missingTables(store: Store, names: readonly string[]): Promise<string[]> {
  if (store.dialect.name === 'sqlite') {
    const rows = await store.read<{ name: string }>("select name from sqlite_master where type = 'table'")
    const present = new Set(rows.map((row) => row.name))
    return names.map((name) => store.tableName(name)).filter((name) => !present.has(name))
  }
  const quoted = names.map((name) => compileSql(store.table(name), store.dialect).text)
  const rows = await store.read<{ at: number }>(
    sql`select at::integer as at from unnest(${quoted}::text[]) with ordinality as t (name, at) where to_regclass(name) is null`,
  )
  return rows.map(({ at }) => store.tableName(names[Number(at) - 1] as string))
}
