import type { RaceDatabase } from '../race.ts'

/** The index that tries a unique constraint; one that a killed process left would hide the race. */
export const INDEX = 'holdfast_race_unique'

export interface UniqueKey {
  readonly table: string
  readonly columns: readonly string[]
}

export async function createIndex(db: RaceDatabase, { table, columns }: UniqueKey): Promise<void> {
  await db.query(`create unique index if not exists ${INDEX} on ${table} (${columns.join(', ')})`)
}

export async function dropIndex(db: RaceDatabase): Promise<void> {
  const { rows } = await db.query(
    `select format('drop index %I.%I', n.nspname, c.relname) as text
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'i' and c.relname = $1`,
    [INDEX],
  )
  for (const { text } of rows) await db.query(text)
}
