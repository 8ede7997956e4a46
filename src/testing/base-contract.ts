/** What leases, effects and fences promise on every store, written once. */
import { effectTables } from '../effects/index.ts'
import { fenceTables } from '../fence/index.ts'
import { leaseTables } from '../lease/index.ts'
import { migrate } from '../store/index.ts'
import { describeEffects } from './base-contract/effects.ts'
import { describeFence } from './base-contract/fence.ts'
import { describeLease } from './base-contract/lease.ts'
import type { BaseUnderTest } from './base-contract/scene.ts'
import { checkSuite, type TestKit } from './test-kit.ts'

export type { BaseUnderTest } from './base-contract/scene.ts'

/** Registers the tests of lease, effects and fence. `open` gives an empty database; each test closes what it opened. */
export function describeBaseContract(kit: TestKit, name: string, open: () => Promise<BaseUnderTest>): void {
  checkSuite('describeBaseContract', kit, name, open, 'beforeEach', 'afterEach')
  kit.describe(`base contract: ${name}`, () => {
    let opened: BaseUnderTest
    kit.beforeEach(async () => {
      opened = await open()
      await migrate(opened.store, [leaseTables, effectTables, fenceTables])
    })
    kit.afterEach(() => opened.close())
    const scene: BaseUnderTest = {
      get store() {
        return opened.store
      },
      get other() {
        return opened.other
      },
      withClock: (clock) => opened.withClock(clock),
      close: () => opened.close(),
    }
    describeLease(kit, scene)
    describeEffects(kit, scene)
    describeFence(kit, scene)
  })
}
