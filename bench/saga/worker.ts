import { quantile } from '../lib/report.ts'
import type { Answer, Job, SagaSystem } from './job.ts'

const job = JSON.parse(process.argv[2] as string) as Job
const systems: Record<Job['system'], () => Promise<{ open(job: Job): Promise<SagaSystem> }>> = {
  holdfast: () => import('./holdfast.ts'),
  dbos: () => import('./dbos.ts'),
  control: () => import('./control.ts'),
}
const system = await (await systems[job.system]()).open(job)
const say = (answer: object): void => void process.stdout.write(`@${JSON.stringify(answer)}\n`)

if (job.what === 'measure') {
  await measure(Math.min(1_000, job.durationMs / 3))
  say(await measure(job.durationMs))
  await system.stop()
  process.exit(0)
}
const ids = Array.from({ length: job.count }, (_, i) => `half-${i}`)
if (job.what === 'hang') {
  await Promise.all(ids.map((id) => system.hang(id)))
  say({ hanging: true })
} else {
  await system.recovered(ids)
  say({ recovered: true })
  process.exit(0)
}

async function measure(durationMs: number): Promise<Answer> {
  const began = performance.now()
  const latencies: number[] = []
  await Promise.all(
    Array.from({ length: job.concurrency }, async (_, client) => {
      for (let n = 0; performance.now() - began < durationMs; n++) {
        const at = performance.now()
        await system.run(`${began}-${client}-${n}`)
        latencies.push(performance.now() - at)
      }
    }),
  )
  const seconds = (performance.now() - began) / 1_000
  return { perSecond: latencies.length / seconds, p50Ms: quantile(latencies, 0.5), done: latencies.length }
}
