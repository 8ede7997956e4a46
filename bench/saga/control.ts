import { openPool } from '../lib/server.ts'
import type { Job, SagaSystem } from './job.ts'

/** The least that a durable log without group commit writes: a start, each step, the end, one commit each. */
export async function open(job: Job): Promise<SagaSystem> {
  const pool = openPool(job.url, 20)
  await pool.query('create table if not exists log (saga text, seq int, data text, primary key (saga, seq))')
  const append = (id: string, seq: number) =>
    pool.query({
      name: 'append',
      text: 'insert into log (saga, seq, data) values ($1, $2, $3)',
      values: [id, seq, '{}'],
    })
  return {
    async run(id) {
      await append(id, 0)
      for (let i = 1; i <= job.steps; i++) {
        if (job.kind === 'row')
          await pool.query({
            name: 'row',
            text: 'insert into business (id, v) values ($1, $2)',
            values: [`${id}/${i}`, 'x'],
          })
        await append(id, i)
      }
      await append(id, job.steps + 1)
    },
    hang: async () => {},
    recovered: async () => {},
    stop: () => pool.end(),
  }
}
