import type { Store, Transaction } from 'holdfast'
import type { Broker } from 'holdfast/broker'
import { sql } from 'holdfast/store'
import type { SiteDump } from './audit.ts'
import type { Entry, Operation, Reading, SiteName } from './operations.ts'

/** What a customer hears. */
export interface Done {
  readonly confirmed: boolean
  /** How old what was read may have been; null: not known. */
  readonly staleMs: number | null
}

/** One site, whichever way it replicates. */
export interface LocalSite {
  operate(operation: Operation): Promise<Done>
  readings(): Promise<readonly Reading[]>
  /** Versions that lost in a conflict that is written down. */
  inConflicts(): Promise<readonly string[]>
  /** Answers a question of a peer that catches up. */
  answer(question: unknown): Promise<object>
  stop(): Promise<void>
}

export interface SiteParts {
  readonly site: SiteName
  readonly store: Store
  readonly broker: Broker
  /** Asks a peer; rejects while one of the two is cut off or down. */
  ask(peer: SiteName, question: unknown): Promise<unknown>
}

export const ENTRY_TABLE =
  'create table if not exists demo_entry (id text primary key, collection text not null, key text not null, kind text not null, wrote text not null, saw text not null)'

/** In the transaction of the operation itself. */
export async function writeDown(
  tx: Transaction,
  { id, collection, key, kind }: Operation,
  { wrote, saw }: Pick<Entry, 'wrote' | 'saw'>,
): Promise<void> {
  await tx.execute(
    sql`insert into demo_entry (id, collection, key, kind, wrote, saw)
      values (${id}, ${collection}, ${key}, ${kind}, ${wrote}, ${JSON.stringify(saw)})`,
  )
}

export async function dump(site: SiteName, store: Store, local: LocalSite): Promise<SiteDump> {
  const rows = await store.read<Omit<Entry, 'site' | 'saw'> & { saw: string }>('select * from demo_entry')
  return {
    site,
    readings: await local.readings(),
    entries: rows.map((row) => ({ ...row, site, saw: JSON.parse(row.saw) as string[] })),
    inConflicts: await local.inConflicts(),
  }
}
