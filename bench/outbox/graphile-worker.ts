import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { openPool } from '../lib/server.ts'
import { type BenchPayload, inTransaction, type OutboxSystem } from './system.ts'

/** Its fastest way: a local queue of 500 with batched completion. */
export const graphileWorker: OutboxSystem = {
  name: 'graphile-worker',
  ordered: false,
  async open(url) {
    const pool = openPool(url, 20)
    const logger = new Logger(() => () => {})
    return {
      async setup() {
        const utils = await makeWorkerUtils({ pgPool: pool, logger })
        await utils.migrate()
        await utils.release()
      },
      publish: (messages) =>
        inTransaction(
          () => pool.connect(),
          (client) =>
            messages.length === 1
              ? client.query({
                  name: 'one',
                  text: "select graphile_worker.add_job('bench', $1::json)",
                  values: [JSON.stringify(messages[0]?.payload)],
                })
              : client.query({
                  name: 'many',
                  text: `select graphile_worker.add_jobs(array(
                    select row('bench', p, null, null, null, null, null, null)::graphile_worker.job_spec
                    from unnest($1::json[]) as p))`,
                  values: [messages.map((m) => JSON.stringify(m.payload))],
                }),
        ),
      async consume(handler) {
        const runner = await run({
          pgPool: pool,
          logger,
          noHandleSignals: true,
          taskList: { bench: (payload) => handler(payload as BenchPayload) },
          preset: {
            worker: {
              concurrentJobs: 16,
              pollInterval: 500,
              localQueue: { size: 500 },
              completeJobBatchDelay: 0,
              failJobBatchDelay: 0,
            },
          },
        })
        return { stop: () => runner.stop() }
      },
      close: () => pool.end(),
    }
  },
}
