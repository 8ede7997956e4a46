import type { Store, TableSet } from '../store/index.ts'
import { readRevision } from '../store/index.ts'

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
  const revisions: Revision[] = []
  for (const set of sets) {
    const { found, readableFrom } = await store
      .transaction((tx) => readRevision(tx, set.capability), { readOnly: true })
      .catch((error: unknown) => {
        // The table of revisions itself is missing: nothing was ever migrated here.
        if ((error as { code?: string }).code === 'SCHEMA_REVISION') return { found: 0, readableFrom: 0 }
        throw error
      })
    const needed = set.migrations.at(-1)?.revision ?? 0
    revisions.push({ capability: set.capability, found, needed, state: stateOf(found, needed, readableFrom) })
  }
  return revisions
}

/** Pure. `readableFrom` is the oldest code that can work with the tables as they are. */
export function stateOf(found: number, needed: number, readableFrom: number): Revision['state'] {
  if (found === 0) return 'missing'
  if (found < needed) return 'older'
  if (found === needed) return 'current'
  return readableFrom > needed ? 'unreadable' : 'newer'
}
