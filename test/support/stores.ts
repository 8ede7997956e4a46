import { migrate } from 'holdfast'
import type { TableSet } from 'holdfast/store'
import { allTables } from 'holdfast/tables'
import type pg from 'pg'
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
  const { at, drop } = await freshPlace(kind)
  const opened = openStoreAt(at, pool)
  await migrate(opened.store, tables)
  return {
    ...opened,
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]()
      await drop()
    },
  }
}

async function freshPlace(kind: StoreKind): Promise<{ at: string; drop(): Promise<void> }> {
  if (kind === 'postgres') {
    const { url, drop } = await freshDatabase()
    return { at: url, drop }
  }
  const folder = tempFolder('store')
  return { at: folder.file('store.db'), drop: async () => folder.remove() }
}
