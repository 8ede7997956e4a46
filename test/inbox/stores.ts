import { migrate, type Store, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { allTables } from 'holdfast/tables'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'

export interface OpenedStore extends AsyncDisposable {
  readonly store: Store
  /** Names the database to another process: a file, or a URL. */
  readonly at: string
}

/** Stores with every table and `applied(message_id, note)`, which has no key: what is applied twice is there twice. */
export const stores: readonly { readonly name: 'sqlite' | 'postgres'; open(): Promise<OpenedStore> }[] = [
  {
    name: 'sqlite',
    async open() {
      const folder = tempFolder('inbox')
      const at = folder.file('inbox.db')
      const store = sqlite({ open: () => openSqlite(at), synchronous: 'normal' })
      await prepare(store)
      return {
        store,
        at,
        [Symbol.asyncDispose]: async () => {
          await store.close()
          folder.remove()
        },
      }
    },
  },
  {
    name: 'postgres',
    async open() {
      const database = await freshPool()
      const store = postgres(database.pool)
      await prepare(store)
      return {
        store,
        at: database.url,
        [Symbol.asyncDispose]: async () => {
          await store.close()
          await database.drop()
        },
      }
    },
  },
]

async function prepare(store: Store): Promise<void> {
  await migrate(store, allTables)
  await store.execute('create table applied (message_id text not null, note text not null)')
}

/** What handlers have done and committed, in order of commit as far as the store tells. */
export async function applied(store: Store): Promise<string[]> {
  const rows = await store.query<{ note: string }>('select note from applied')
  return rows.map((row) => row.note)
}

export function apply(id: string, note: string) {
  return sql`insert into applied (message_id, note) values (${id}, ${note})`
}
