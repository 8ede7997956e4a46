import { openPool } from '../lib/server.ts'
import { inTransaction, type OutboxSystem } from './system.ts'

const CLAIM = 500
const POLL_MS = 2

/**
 * Bare SQL that does less than any product: no order, no retries, no dead letters, no lease. A ceiling.
 */
export const control: OutboxSystem = {
  name: 'control',
  ordered: false,
  async open(url) {
    const pool = openPool(url, 20)
    return {
      async setup() {
        await pool.query(
          'create table control (id bigint generated always as identity primary key, key text, payload text not null)',
        )
      },
      publish: (messages) =>
        inTransaction(
          () => pool.connect(),
          (client) =>
            messages.length === 1
              ? client.query({
                  name: 'one',
                  text: 'insert into control (key, payload) values ($1, $2)',
                  values: [messages[0]?.key, JSON.stringify(messages[0]?.payload)],
                })
              : client.query({
                  name: 'many',
                  text: 'insert into control (key, payload) select * from unnest($1::text[], $2::text[])',
                  values: [messages.map((m) => m.key), messages.map((m) => JSON.stringify(m.payload))],
                }),
        ),
      async consume(handler) {
        let running = true
        const done = (async () => {
          while (running) {
            const client = await pool.connect()
            await client.query('begin')
            const { rows } = await client.query({
              name: 'claim',
              text: 'select id, payload from control order by id limit $1 for update skip locked',
              values: [CLAIM],
            })
            for (const row of rows) handler(JSON.parse(row.payload))
            if (rows.length > 0) {
              await client.query({
                name: 'complete',
                text: 'delete from control where id = any($1::bigint[])',
                values: [rows.map((row) => row.id)],
              })
            }
            await client.query('commit')
            client.release()
            if (rows.length === 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
          }
        })()
        return {
          async stop() {
            running = false
            await done
          },
        }
      },
      close: () => pool.end(),
    }
  },
}
