import { describeBrokerContract } from '../../src/testing/broker-contract.ts'
import { describeWith, natsServer, ownNats } from '../support/servers.ts'
import { kit } from './kit.ts'
import { setUpOn } from './set-up.ts'

const own = await ownNats()

describeWith(own ?? (await natsServer()), 'NATS JetStream', (url) => {
  describeBrokerContract(kit, 'NATS JetStream', setUpOn(url, own), { restarts: own === undefined ? 0 : 2 })
})
