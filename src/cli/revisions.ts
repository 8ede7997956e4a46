import type { Store, TableSet } from '../store/index.ts'
import { SchemaRevisionError, sql } from '../store/index.ts'

export interface Revision {
  readonly capability: string
  /** 0 when the tables are missing. */
  readonly found: number
  /** What this version of Holdfast works with. */
  readonly needed: number
  readonly state: 'current' | 'missing' | 'older' | 'newer' | 'unreadable'
}

/** What revision the tables of each part have, beside what this code needs. Reads only. */
export async function readRevisions(store: Store, sets: readonly TableSet[]): Promise<Revision[]> {
  const rows = await store
    .transaction(
      (tx) =>
        tx.query<{ capability: string; revision: number; readable_from: number }>(
          sql`select capability, revision, readable_from from ${store.table('revision')}`,
        ),
      { readOnly: true },
    )
    .catch((error: unknown) => {
      // The table of revisions itself is missing: nothing was ever migrated here.
      if ((error as { code?: string }).code === 'SCHEMA_REVISION') return []
      throw error
    })
  const rowOf = new Map(rows.map((row) => [row.capability, row]))
  return sets.map(({ capability, migrations }) => {
    const row = rowOf.get(capability)
    const found = Number(row?.revision ?? 0)
    const needed = migrations.at(-1)?.revision ?? 0
    return { capability, found, needed, state: stateOf(found, needed, Number(row?.readable_from ?? 0)) }
  })
}

/**
 * Refuses tables that this code cannot work with. Parts that were never migrated are let through: a command says so when
 * it comes to them, and an application may use some parts only.
 * @throws SchemaRevisionError naming the first such part
 */
export async function refuseUnfit(store: Store, sets: readonly TableSet[]): Promise<void> {
  for (const { capability, found, needed, state } of await readRevisions(store, sets)) {
    if (state === 'older' || state === 'unreadable')
      throw new SchemaRevisionError(capability, { found, needed })
  }
}

/** Pure. `readableFrom` is the oldest code that can work with the tables as they are. */
export function stateOf(found: number, needed: number, readableFrom: number): Revision['state'] {
  if (found === 0) return 'missing'
  if (found < needed) return 'older'
  if (found === needed) return 'current'
  return readableFrom > needed ? 'unreadable' : 'newer'
}
