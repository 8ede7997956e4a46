import { migrate } from 'holdfast'
import { directBroker } from 'holdfast/broker'
import { leaseTables } from 'holdfast/lease'
import { createOutbox, outboxTables } from 'holdfast/outbox'
import { postgres } from 'holdfast/postgres'
import pg from 'pg'
import type { BenchPayload, OutboxSystem } from './system.ts'

export const holdfast: OutboxSystem = {
  name: 'holdfast',
  ordered: true,
  async open(url) {
    const pool = new pg.Pool({ connectionString: url, max: 20 })
    const store = postgres(pool)
    const outbox = createOutbox(store)
    return {
      async setup() {
        await migrate(store, [leaseTables, outboxTables])
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
        return { stop: () => relay.stop() }
      },
      async close() {
        await store.close()
        await pool.end()
      },
    }
  },
}
