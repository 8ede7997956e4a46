import { PgBoss } from 'pg-boss'
import { openPool } from '../lib/server.ts'
import { type BenchPayload, inTransaction, type OutboxSystem } from './system.ts'

const QUEUE = 'bench'

/** Its fastest ways: batches of 500, fetching on while batches come back full; half a second is its least poll. */
const pgBoss = (name: string, notify: boolean): OutboxSystem => ({
  name,
  ordered: false,
  async open(url) {
    const pool = openPool(url, 20)
    const boss = new PgBoss({ connectionString: url, max: 4, useListenNotify: notify })
    boss.on('error', () => {})
    await boss.start()
    return {
      setup: () => boss.createQueue(QUEUE, { notify }),
      publish: (messages) =>
        inTransaction(
          () => pool.connect(),
          async (client) => {
            const db = { executeSql: (text: string, values?: unknown[]) => client.query(text, values) }
            if (messages.length === 1) await boss.send(QUEUE, messages[0]?.payload ?? null, { db })
            else
              await boss.insert(
                QUEUE,
                messages.map((m) => ({ data: m.payload })),
                { db },
              )
          },
        ),
      async consume(handler) {
        await boss.work<BenchPayload>(
          QUEUE,
          { batchSize: 500, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true },
          async (jobs) => {
            for (const job of jobs) handler(job.data)
          },
        )
        return { stop: () => boss.offWork(QUEUE) }
      },
      async close() {
        await boss.stop({ graceful: false, close: true })
        await pool.end()
      },
    }
  },
})

export const pgBossPolling = pgBoss('pg-boss (poll)', false)
export const pgBossNotify = pgBoss('pg-boss (notify)', true)
