import { queueTables, type StoreQueue, storeQueue } from 'holdfast/store-queue'
import type { DatabaseAddress } from './database.ts'
import type { ServiceName } from './domain.ts'
import { prepareTables } from './prepare.ts'
import { openStore } from './store.ts'

/** The queue between the services: a database of its own, the same for both versions. */
export interface Queue {
  readonly broker: StoreQueue
  /** Messages that the service has not acknowledged. */
  unread(service: ServiceName): Promise<number>
  close(): Promise<void>
}

export async function openQueue(address: DatabaseAddress): Promise<Queue> {
  const { store, close } = await openStore(address)
  await prepareTables(store, [queueTables])
  const broker = storeQueue(store, { partitions: PARTITIONS, pollMaxMs: 20, ackEveryMs: 20 })
  return {
    broker,
    async unread(service) {
      const { groups } = await broker.figures()
      return groups.filter((g) => g.group === service).reduce((sum, g) => sum + g.backlog, 0)
    },
    async close() {
      await broker.close()
      await close()
    },
  }
}

const PARTITIONS = 4
