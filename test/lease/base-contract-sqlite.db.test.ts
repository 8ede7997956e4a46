import { sqlite } from 'holdfast/sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeBaseContract } from '../../src/testing/base-contract.ts'
import { tempFolder } from '../support/files.ts'
import { openSqlite } from '../support/sqlite.ts'

const kit = { describe, it, expect, beforeEach, afterEach }

describeBaseContract(kit, 'sqlite', async () => {
  const folder = tempFolder('base')
  const open = () => openSqlite(folder.file('db.sqlite'))
  const stores = [sqlite({ open }), sqlite({ open })] as const
  const more: { close(): Promise<void> }[] = []
  return {
    store: stores[0],
    other: stores[1],
    withClock: (clock) => {
      const store = sqlite({ open, clock })
      more.push(store)
      return store
    },
    close: async () => {
      for (const store of [...stores, ...more]) await store.close()
      folder.remove()
    },
  }
})
