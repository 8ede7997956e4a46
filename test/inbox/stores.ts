import { type Store, sql } from 'holdfast'
import type { StoreAt } from '../support/store-at.ts'
import { freshStore, type StoreKind, storeKinds } from '../support/stores.ts'

/** Stores with every table and `applied(message_id, note)`, which has no key: what is applied twice is there twice. */
export const stores: readonly { readonly name: StoreKind; open(): Promise<StoreAt> }[] = storeKinds.map(
  (name) => ({
    name,
    async open() {
      const opened = await freshStore(name)
      await opened.store.execute('create table applied (message_id text not null, note text not null)')
      return opened
    },
  }),
)

/** What handlers have done and committed, in order of commit as far as the store tells. */
export async function applied(store: Store): Promise<string[]> {
  const rows = await store.query<{ note: string }>('select note from applied')
  return rows.map((row) => row.note)
}

export function apply(id: string, note: string) {
  return sql`insert into applied (message_id, note) values (${id}, ${note})`
}
