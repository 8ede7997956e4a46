import type { Store, TableSet } from '../store/index.ts'
import { SchemaRevisionError, sql } from '../store/index.ts'
import { missingTables, tablesOf } from './missing-tables.ts'

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

/** A part that was migrated and has lost tables since: somebody dropped them, or a backup was restored in part. */
export interface Loss {
  readonly capability: string
  /** With their prefix. */
  readonly tables: readonly string[]
}

/** The losses among the parts that `revisions` says are there. Reads only. */
export async function readLosses(
  store: Store,
  sets: readonly TableSet[],
  revisions: readonly Revision[],
): Promise<Loss[]> {
  const { name: dialect } = store.dialect
  if (dialect === 'mysql') return []
  // Tables of a newer revision may have other names.
  const migrated = new Set(revisions.filter((r) => r.state === 'current').map((r) => r.capability))
  const parts = sets
    .filter((set) => migrated.has(set.capability))
    .map((set) => ({ capability: set.capability, names: tablesOf(set, dialect) }))
  const missing = new Set(
    await missingTables(
      store,
      parts.flatMap((part) => part.names),
    ),
  )
  return parts
    .map(({ capability, names }) => ({
      capability,
      tables: names.map((name) => store.tableName(name)).filter((name) => missing.has(name)),
    }))
    .filter(({ tables }) => tables.length > 0)
}

export function printLoss({ capability, tables }: Loss): string {
  return `${capability}: ${tables.join(', ')} ${tables.length === 1 ? 'is' : 'are'} gone, though the revision says that this part was migrated`
}

/** Pure. `readableFrom` is the oldest code that can work with the tables as they are. */
export function stateOf(found: number, needed: number, readableFrom: number): Revision['state'] {
  if (!Number.isInteger(found)) return 'unreadable'
  if (found === 0) return 'missing'
  if (found < needed) return 'older'
  if (found === needed) return 'current'
  return readableFrom > needed ? 'unreadable' : 'newer'
}
