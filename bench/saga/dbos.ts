import { DBOS } from '@dbos-inc/dbos-sdk'
import { openPool } from '../lib/server.ts'
import type { Job, SagaSystem } from './job.ts'

export async function open(job: Job): Promise<SagaSystem> {
  const pool = openPool(job.url, 20)
  const work = DBOS.registerWorkflow(
    async (id: string, steps: number) => {
      for (let i = 0; i < steps; i++) {
        await DBOS.runStep(
          async () => {
            if (job.kind === 'row')
              await pool.query('insert into business (id, v) values ($1, $2)', [`${id}/${i}`, 'x'])
            return i
          },
          { name: 'step' },
        )
        if (job.what !== 'measure' && i === 0)
          await DBOS.runStep(() => (job.what === 'hang' ? new Promise<void>(() => {}) : Promise.resolve()), {
            name: 'hang',
          })
      }
      return steps
    },
    { name: 'work' },
  )
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: job.url,
    systemDatabasePoolSize: 20,
    applicationVersion: '1',
    runAdminServer: false,
    logLevel: 'error',
  } as Parameters<typeof DBOS.setConfig>[0])
  await DBOS.launch()
  return {
    async run(id) {
      const handle = await DBOS.startWorkflow(work, { workflowID: id })(id, job.steps)
      return handle.getResult()
    },
    hang: (id) => DBOS.startWorkflow(work, { workflowID: id })(id, job.steps),
    recovered: async (ids) => {
      await Promise.all(ids.map((id) => DBOS.retrieveWorkflow(id).getResult()))
    },
    async stop() {
      await DBOS.shutdown()
      await pool.end()
    },
  }
}
