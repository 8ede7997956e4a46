import { vi } from 'vitest'
import { describeBrokerContract } from '../../src/testing/broker-contract.ts'
import { describeWith, ownRabbitmq, rabbitmqServer } from '../support/servers.ts'
import { kit } from './kit.ts'
import { setUpOn } from './set-up.ts'

vi.setConfig({ testTimeout: 90_000 }) // RabbitMQ takes up to ten seconds to start again

const own = await ownRabbitmq()

describeWith(own ?? (await rabbitmqServer()), 'RabbitMQ', (url) => {
  describeBrokerContract(kit, 'RabbitMQ', setUpOn(url, own), { restarts: own === undefined ? 0 : 1 })
})
