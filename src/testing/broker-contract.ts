/** What every broker must do, written once; each adapter runs it. */
import type { Broker } from '../broker/index.ts'
import { optionsOf } from '../core/options.ts'
import { describeCrashes } from './broker-contract/crashes.ts'
import { describeDelivery } from './broker-contract/delivery.ts'
import { describeRefusals } from './broker-contract/refusals.ts'
import type { BrokerScene, BrokerSetup } from './broker-contract/scene.ts'
import { describeSettling } from './broker-contract/settling.ts'
import { checkSuite, type TestKit } from './test-kit.ts'

export type { BrokerServer, BrokerSetup } from './broker-contract/scene.ts'

export interface BrokerContractOptions {
  /**
   * How often the last test kills the server and starts it again. 0 where there is no server, or none that the tests
   * may kill: the tests that do so are then left out.
   */
  readonly restarts: number
}

/**
 * What every broker must do, run against a real server.
 *
 * `setUp` is called once per test. Topics and groups have random names, so a shared server is fine.
 */
export function describeBrokerContract(
  kit: TestKit,
  name: string,
  setUp: () => Promise<BrokerSetup>,
  options: BrokerContractOptions,
): void {
  checkSuite('describeBrokerContract', kit, name, setUp, 'beforeEach', 'afterEach')
  const { restarts } = optionsOf('describeBrokerContract', options)
  kit.describe(`broker contract: ${name}`, () => {
    let setup: BrokerSetup | undefined
    const brokers: Broker[] = []

    kit.beforeEach(async () => {
      setup = await setUp()
    })
    kit.afterEach(async () => {
      for (const broker of brokers.splice(0)) await broker.close()
      await setup?.dispose()
      setup = undefined
    })
    const scene: BrokerScene = {
      get setup() {
        return setup as BrokerSetup
      },
      async open() {
        const broker = await scene.setup.open()
        brokers.push(broker)
        return broker
      },
    }
    describeDelivery(kit, scene)
    describeSettling(kit, scene)
    describeRefusals(kit, scene)
    describeCrashes(kit, scene, restarts)
  })
}
