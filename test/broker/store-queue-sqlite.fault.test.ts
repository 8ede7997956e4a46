import { describeBrokerContract } from '../../src/testing/broker-contract.ts'
import { tempFolder } from '../support/files.ts'
import { kit } from './kit.ts'
import { setUpOn } from './set-up.ts'
import { migrateQueue } from './store-queue-stores.ts'

describeBrokerContract(
  kit,
  'store queue on SQLite',
  async () => {
    const folder = tempFolder('queue')
    const url = `sqlite:${folder.file('queue.db')}`
    await migrateQueue(url)
    const setup = await setUpOn(url)()
    return {
      ...setup,
      dispose: async () => {
        await setup.dispose()
        folder.remove()
      },
    }
  },
  { restarts: 0 },
)
