import { migrate } from 'holdfast'
import { directBroker } from 'holdfast/broker'
import { leaseTables } from 'holdfast/lease'
import { createOutbox, deadLetterTables, outboxTables } from 'holdfast/outbox'
import { postgres } from 'holdfast/postgres'
import { openPool } from '../lib/server.ts'
import type { BenchPayload, OutboxSystem } from './system.ts'

export const holdfast: OutboxSystem = {
  name: 'holdfast',
  ordered: true,
  async open(url) {
    const pool = openPool(url, 20)
    const store = postgres(pool)
    const outbox = createOutbox(store)
    return {
      async setup() {
        await migrate(store, [leaseTables, outboxTables, deadLetterTables])
      },
      publish: (messages) =>
        store.transaction(async (tx) => {
          for (const { key, payload } of messages) {
            await outbox.publish(tx, { topic: 'bench', ...(key === '' ? {} : { key }), payload })
          }
        }),
      async consume(handler) {
        const relay = outbox.relay({
          broker: directBroker({
            handle: (message) => handler(JSON.parse(message.payload) as BenchPayload),
          }),
        })
        relay.done.catch((error) => {
          throw error
        })
        return { stop: () => relay.stop() }
      },
      async close() {
        await store.close()
        await pool.end()
      },
    }
  },
}
