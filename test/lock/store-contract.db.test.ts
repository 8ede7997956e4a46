/** One database for all tests of a store, since their locks have random names. */
import { lockTables, storeLocks } from 'holdfast/lock'
import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import type { Store } from 'holdfast/store'
import { migrate } from 'holdfast/tables'
import { describeLockContract } from 'holdfast/testing'
import pg from 'pg'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite } from '../support/sqlite.ts'

const kit = { describe, it, expect, beforeEach, afterEach }
const options = { ttlMs: 1_000, tooShortMs: 49, rounds: 8 }

interface TwoStores {
  readonly stores: readonly [Store, Store]
  readonly url: string
}

const closing: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const close of closing) await close()
})

let onSqlite: Promise<TwoStores> | undefined
async function openSqliteStores(): Promise<TwoStores> {
  const folder = tempFolder('locks')
  const url = folder.file('locks.db')
  const open = (): Store => sqlite({ open: () => openSqlite(url), synchronous: 'normal' })
  const stores = [open(), open()] as const
  await migrate(stores[0], [lockTables])
  closing.push(
    () => stores[0].close(),
    () => stores[1].close(),
    async () => folder.remove(),
  )
  return { stores, url }
}

let onPostgres: Promise<TwoStores> | undefined
async function openPostgresStores(): Promise<TwoStores> {
  const database = await freshPool()
  const other = new pg.Pool({ connectionString: database.url })
  other.on('error', () => {})
  const stores = [postgres(database.pool), postgres(other)] as const
  await migrate(stores[0], [lockTables])
  closing.push(
    () => other.end(),
    () => database.drop(),
  )
  return { stores, url: database.url }
}

describeLockContract(
  kit,
  'sqlite',
  async () => {
    onSqlite ??= openSqliteStores()
    const { stores } = await onSqlite
    let opened = 0
    return { open: async () => storeLocks(stores[opened++ % 2] as Store), dispose: async () => {} }
  },
  options,
)

for (const listening of [false, true]) {
  describeLockContract(
    kit,
    listening ? 'postgres with LISTEN' : 'postgres',
    async () => {
      onPostgres ??= openPostgresStores()
      const { stores, url } = await onPostgres
      const listen = async (): Promise<pg.Client> => {
        const client = new pg.Client({ connectionString: url })
        await client.connect()
        return client
      }
      let opened = 0
      return {
        open: async () => storeLocks(stores[opened++ % 2] as Store, listening ? { listen } : {}),
        dispose: async () => {},
      }
    },
    options,
  )
}
