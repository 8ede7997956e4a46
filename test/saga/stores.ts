import type { Store } from 'holdfast'
import { type AnySaga, type SagaRunner, type SagaRunnerOptions, sagaRunner } from 'holdfast/saga'
import type { StoreAt } from '../support/store-at.ts'
import { freshStore, type StoreKind, storeKinds } from '../support/stores.ts'

export interface OpenedStore extends StoreAt {
  /** A second database of the same kind, with every table too. */
  second(): Promise<{ readonly store: Store; readonly at: string }>
}

export const EFFECTS = 'create table effects (saga text not null, what text not null)'

/** Stores with every table and `effects(saga, what)`, which has no key: what happens twice is there twice. */
export const stores: readonly { readonly name: StoreKind; open(): Promise<OpenedStore> }[] = storeKinds.map(
  (name) => ({
    name,
    async open() {
      const opened: StoreAt[] = []
      const open = async (): Promise<StoreAt> => {
        const one = await freshStore(name, { pool: { max: 12 } })
        opened.push(one)
        await one.store.execute(EFFECTS)
        return one
      }
      return {
        ...(await open()),
        second: open,
        async [Symbol.asyncDispose]() {
          for (const one of opened) await one[Symbol.asyncDispose]()
        },
      }
    },
  }),
)

/** A runner that looks often, for tests that wait. */
export async function startRunner(
  store: Store,
  sagas: readonly AnySaga[],
  options: Partial<SagaRunnerOptions> = {},
): Promise<SagaRunner> {
  const runner = sagaRunner(store, { sagas, pollMs: 20, parkAfterMs: 0, ttlMs: 5_000, ...options })
  await runner.ready
  return runner
}

/** Quick retries, for steps that fail on purpose. */
export const quick = { baseMs: 1, capMs: 5 }

export async function effectsOf(store: Store, saga: string): Promise<string[]> {
  const rows = await store.query<{ what: string }>(
    store.dialect.name === 'postgres'
      ? 'select what from effects where saga = $1'
      : 'select what from effects where saga = ?',
    [saga],
  )
  return rows.map((row) => row.what)
}
