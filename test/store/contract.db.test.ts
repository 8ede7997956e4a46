import { postgres } from 'holdfast/postgres'
import { sqlite } from 'holdfast/sqlite'
import { describeStoreContract } from 'holdfast/testing'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tempFolder } from '../support/files.ts'
import { freshPool } from '../support/postgres.ts'
import { openSqlite, sqliteDrivers } from '../support/sqlite.ts'

const kit = { describe, it, expect, beforeEach, afterEach }

describeStoreContract(kit, 'postgres', async () => {
  const database = await freshPool()
  const second = new pg.Pool({ connectionString: database.url })
  return {
    store: postgres(database.pool),
    other: postgres(second),
    close: async () => {
      await second.end()
      await database.drop()
    },
  }
})

for (const driver of sqliteDrivers) {
  describeStoreContract(kit, `sqlite with ${driver}`, async () => {
    const folder = tempFolder('contract')
    const open = () => openSqlite(folder.file('db.sqlite'), driver)
    const store = sqlite({ open })
    const other = sqlite({ open })
    return {
      store,
      other,
      close: async () => {
        await store.close()
        await other.close()
        folder.remove()
      },
    }
  })
}
