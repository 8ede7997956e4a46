import type { BrokerServer, BrokerSetup } from '../../src/testing/broker-contract.ts'
import { hoarder } from './hoarding.ts'
import { type OpenBroker, openBroker } from './open-broker.ts'

/** The set-up of the broker at a URL; `server` where it may be killed. */
export function setUpOn(url: string, server?: BrokerServer): () => Promise<BrokerSetup> {
  return async () => {
    const opened: OpenBroker[] = []
    return {
      open: async () => {
        const one = await openBroker(url)
        opened.push(one)
        return one.broker
      },
      hoard: hoarder(url),
      ...(server && { server }),
      dispose: async () => {
        for (const { close } of opened) await close()
      },
    }
  }
}
