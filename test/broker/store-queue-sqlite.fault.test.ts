import { describeBrokerContract } from '../../src/testing/broker-contract.ts'
import { tempFolder } from '../support/files.ts'
import { hoarder } from './hoarding.ts'
import { kit } from './kit.ts'
import { type OpenBroker, openBroker } from './open-broker.ts'
import { migrateQueue } from './store-queue-stores.ts'

describeBrokerContract(
  kit,
  'store queue on SQLite',
  async () => {
    const folder = tempFolder('queue')
    const url = `sqlite:${folder.file('queue.db')}`
    await migrateQueue(url)
    const opened: OpenBroker[] = []
    return {
      open: async () => {
        const one = await openBroker(url)
        opened.push(one)
        return one.broker
      },
      hoard: hoarder(url),
      dispose: async () => {
        for (const { close } of opened) await close()
        folder.remove()
      },
    }
  },
  { restarts: 0 },
)
