import type { Store } from 'holdfast'
import { upDownCounter } from 'holdfast/causality'
import { collection, createReplica, type PeerLink, type Replica } from 'holdfast/replica'
import type { StoreAt } from '../support/store-at.ts'
import { freshStore, type StoreKind } from '../support/stores.ts'

export const COLLECTIONS = {
  customer: collection<{ name: string }>({ merge: 'last-writer-wins' }),
  cart: collection<string[]>({ merge: 'multi-value' }),
  stock: { merge: upDownCounter },
  /** Neither commutative nor associative: the text says in which order it was handed the values. */
  note: collection<string>({ merge: (versions) => versions.map(({ value }) => value).join(' then ') }),
}

export const MEMBERS = ['berlin', 'oslo', 'paris'] as const

export type Member = (typeof MEMBERS)[number]

export interface Site extends AsyncDisposable {
  readonly id: Member
  readonly store: Store
  readonly replica: Replica<typeof COLLECTIONS>
  /** The messages that were committed since the last call, taken from the outbox. */
  sent(): Promise<unknown[]>
  receive(payload: unknown): Promise<string | undefined>
  readonly link: PeerLink
}

export async function openSite(id: Member, kind: StoreKind = 'sqlite'): Promise<Site> {
  return siteOf(id, await freshStore(kind))
}

export function siteOf(id: Member, opened: StoreAt): Site {
  const { store } = opened
  const replica = createReplica(store, { id, members: MEMBERS, collections: COLLECTIONS })
  return {
    id,
    store,
    replica,
    async sent() {
      // By hand, since a relay takes its leases anew at each drain. `running.db.test.ts` has real relays.
      const rows = await store.read<{ payload: string }>(
        'select sequence, payload from holdfast_outbox order by sequence',
      )
      if (rows.length > 0) await store.execute('delete from holdfast_outbox')
      return rows.map((row) => JSON.parse(row.payload))
    },
    receive: (payload) => store.transaction(async (tx) => (await replica.receive(tx, payload))?.kind),
    link: {
      ask: async (question) =>
        JSON.parse(JSON.stringify(await replica.answer(JSON.parse(JSON.stringify(question))))),
    },
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]()
    },
  }
}
