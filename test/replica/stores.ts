import { migrate, type Store } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { allTables } from 'holdfast/tables'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'

export type StoreKind = 'sqlite' | 'postgres'

export interface OpenedStore extends AsyncDisposable {
  readonly store: Store
}

/** A store of that kind with every table. */
export async function openStore(kind: StoreKind): Promise<OpenedStore> {
  if (kind === 'sqlite') {
    const folder = tempFolder('replica')
    const store = sqlite({ open: () => openSqlite(folder.file('replica.db')), synchronous: 'normal' })
    await migrate(store, allTables)
    return {
      store,
      [Symbol.asyncDispose]: async () => {
        await store.close()
        folder.remove()
      },
    }
  }
  const database = await freshPool()
  const store = postgres(database.pool)
  await migrate(store, allTables)
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store.close()
      await database.drop()
    },
  }
}
