import { migrate, type Store } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { type AnySaga, type SagaRunner, type SagaRunnerOptions, sagaRunner } from 'holdfast/saga'
import { sqlite } from 'holdfast/sqlite'
import { allTables } from 'holdfast/tables'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'

export interface OpenedStore extends AsyncDisposable {
  readonly store: Store
  /** Names the database to another process: a file, or a URL. */
  readonly at: string
  /** A second database of the same kind, with every table too. */
  second(): Promise<{ readonly store: Store; readonly at: string }>
}

/** Stores with every table and `effects(saga, what)`, which has no key: what happens twice is there twice. */
export const stores: readonly { readonly name: 'sqlite' | 'postgres'; open(): Promise<OpenedStore> }[] = [
  {
    name: 'sqlite',
    async open() {
      const folder = tempFolder('saga')
      const opened: Store[] = []
      const open = async (file: string): Promise<Store> => {
        const store = sqlite({ open: () => openSqlite(folder.file(file)), synchronous: 'normal' })
        opened.push(store)
        await prepare(store)
        return store
      }
      return {
        store: await open('saga.db'),
        at: folder.file('saga.db'),
        second: async () => ({ store: await open('second.db'), at: folder.file('second.db') }),
        [Symbol.asyncDispose]: async () => {
          for (const store of opened) await store.close()
          folder.remove()
        },
      }
    },
  },
  {
    name: 'postgres',
    async open() {
      const databases: { drop(): Promise<void> }[] = []
      const open = async (): Promise<{ store: Store; at: string }> => {
        const database = await freshPool({ max: 12 })
        databases.push(database)
        const store = postgres(database.pool)
        await prepare(store)
        return { store, at: database.url }
      }
      const first = await open()
      return {
        ...first,
        second: open,
        [Symbol.asyncDispose]: async () => {
          for (const database of databases) await database.drop()
        },
      }
    },
  },
]

async function prepare(store: Store): Promise<void> {
  await migrate(store, allTables)
  await store.execute('create table effects (saga text not null, what text not null)')
}

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
