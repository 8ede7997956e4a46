/** What every store must do, written once; each adapter runs it. */
import { setFailpointHook } from '../core/failpoint.ts'
import { migrate, storeTables } from '../store/index.ts'
import { describeBoundsAndAborts } from './store-contract/bounds-and-aborts.ts'
import { describeCommitAndRollback } from './store-contract/commit-and-rollback.ts'
import { describeHooks } from './store-contract/hooks.ts'
import { describeMigrations } from './store-contract/migrations.ts'
import { describeNestedTransactions } from './store-contract/nested-transactions.ts'
import { describeRetries } from './store-contract/retries.ts'
import { describeRowLocks } from './store-contract/row-locks.ts'
import type { StoreScene, StoreUnderTest } from './store-contract/scene.ts'
import { describeUnknownCommits } from './store-contract/unknown-commits.ts'
import { checkSuite, type TestKit } from './test-kit.ts'

export type { StoreUnderTest } from './store-contract/scene.ts'

/**
 * Registers the tests that every store passes. `open` gives an empty database with two stores on it; each test closes
 * what it opened.
 */
export function describeStoreContract(kit: TestKit, name: string, open: () => Promise<StoreUnderTest>): void {
  checkSuite('describeStoreContract', kit, name, open, 'beforeEach', 'afterEach')
  kit.describe(`store contract: ${name}`, () => {
    let opened: StoreUnderTest
    kit.beforeEach(async () => {
      opened = await open()
      await migrate(opened.store, [storeTables])
      await opened.store.execute('create table item (id varchar(100) primary key, amount bigint not null)')
    })
    kit.afterEach(async () => {
      setFailpointHook(undefined)
      await opened.close()
    })
    const scene: StoreScene = {
      get store() {
        return opened.store
      },
      get other() {
        return opened.other
      },
      async ids() {
        const rows = await opened.other.query<{ id: string }>('select id from item order by id')
        return rows.map((row) => row.id)
      },
    }
    describeCommitAndRollback(kit, scene)
    describeNestedTransactions(kit, scene)
    describeHooks(kit, scene)
    describeRetries(kit, scene)
    describeBoundsAndAborts(kit, scene)
    describeUnknownCommits(kit, scene)
    describeRowLocks(kit, scene)
    describeMigrations(kit, scene)
  })
}
