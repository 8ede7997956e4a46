import type { BrokerServer, BrokerSetup } from '../../src/testing/broker-contract.ts'
import { hoarder } from './hoarding.ts'
import { type OpenBroker, openBroker } from './open-broker.ts'

/** The set-up of a broker that is a server at a URL. */
export function setUpOn(url: string, server: BrokerServer | undefined): () => Promise<BrokerSetup> {
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
