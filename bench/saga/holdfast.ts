import { migrate, sql } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { saga, sagaRunner } from 'holdfast/saga'
import { allTables } from 'holdfast/tables'
import { openPool } from '../lib/server.ts'
import type { Job, SagaSystem } from './job.ts'

export async function open(job: Job): Promise<SagaSystem> {
  const pool = openPool(job.url, 20)
  const store = postgres(pool)
  await migrate(store, allTables)
  let hanging = job.what === 'hang'
  const work = saga('work', async (s, steps: number) => {
    for (let i = 0; i < steps; i++) {
      if (job.kind === 'trivial') await s.step('step', async () => i)
      else {
        await s.transaction('step', store, (tx) =>
          tx.execute(sql`insert into business (id, v) values (${`${s.sagaId}/${i}`}, ${'x'})`),
        )
      }
      if (hanging && i === 0) await s.step('hang', () => new Promise(() => {}))
      else if (job.what !== 'measure' && i === 0) await s.step('hang', () => {})
    }
    return steps
  })
  const runner = sagaRunner(store, { sagas: [work], concurrency: 500, ttlMs: 2_000, retentionMs: false })
  await runner.ready
  return {
    run: (id) => work.run(store, job.steps, { id }),
    hang: (id) => work.start(store, job.steps, { id }),
    async recovered(ids) {
      hanging = false
      await Promise.all(ids.map((id) => work.get(store, id).result()))
    },
    async stop() {
      await runner.stop({ drainMs: 1_000 })
      await pool.end()
    },
  }
}
