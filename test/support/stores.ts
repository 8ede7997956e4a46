import { migrate } from 'holdfast'
import type { TableSet } from 'holdfast/store'
import { allTables } from 'holdfast/tables'
import type pg from 'pg'
import type { Contents } from './database-sources.ts'
import { tempFolder } from './files.ts'
import { freshDatabase } from './postgres.ts'
import { openStoreAt, type StoreAt } from './store-at.ts'

export const storeKinds = ['sqlite', 'postgres'] as const
export type StoreKind = (typeof storeKinds)[number]

/** A store of that kind on an empty database with these tables; both go when it is disposed of. */
export async function freshStore(
  kind: StoreKind,
  { tables = allTables, pool = {} }: { tables?: readonly TableSet[]; pool?: pg.PoolConfig } = {},
): Promise<StoreAt> {
  const { at, drop, contents } = await freshPlace(kind, tables)
  const opened = openStoreAt(at, pool)
  if (contents === 'empty') await migrate(opened.store, tables)
  return {
    ...opened,
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]()
      await drop()
    },
  }
}

interface Place {
  readonly at: string
  readonly contents: Contents
  drop(): Promise<void>
}

async function freshPlace(kind: StoreKind, tables: readonly TableSet[]): Promise<Place> {
  if (kind === 'postgres') {
    const contents = tables === allTables ? 'all tables' : 'empty'
    const { url, drop } = await freshDatabase(contents)
    return { at: url, contents, drop }
  }
  const folder = tempFolder('store')
  return { at: folder.file('store.db'), contents: 'empty', drop: async () => folder.remove() }
}
