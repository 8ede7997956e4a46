import { migrate } from 'holdfast'
import { directBroker } from 'holdfast/broker'
import { leaseTables } from 'holdfast/lease'
import { createOutbox, deadLetterTables, outboxTables } from 'holdfast/outbox'
import { postgres } from 'holdfast/postgres'
import pg from 'pg'
import { openPool } from '../lib/server.ts'
import type { BenchPayload, OutboxSystem } from './system.ts'

/** The defaults; `notify` announces commits to relays of other processes. */
const system = (name: string, notify: boolean): OutboxSystem => ({
  name,
  ordered: true,
  async open(url) {
    const pool = openPool(url, 20)
    const store = postgres(pool)
    const outbox = createOutbox(store, { notify })
    const listen = async (): Promise<pg.Client> => {
      const client = new pg.Client({ connectionString: url })
      client.on('error', () => {})
      await client.connect()
      return client
    }
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
          ...(notify && { listen }),
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
})

export const holdfast = system('holdfast', false)
export const holdfastNotify = system('holdfast (notify)', true)
