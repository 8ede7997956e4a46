/** A process that runs programs until it is killed; with `failpoint`, it kills or stops itself there. */
import { sagaRunner } from 'holdfast/saga'
import { armFailpointsFromEnv } from 'holdfast/testing'
import { toSaga } from './program.ts'
import { openPrograms } from './program-stores.ts'

const { own, other, failpoint } = JSON.parse(process.argv[2] as string) as {
  own: string
  other: string
  failpoint?: string
}

const stores = openPrograms({ own, other })
armFailpointsFromEnv(failpoint)
stores.twoPhase?.recovery({ everyMs: 200, inDoubtMs: 2_000 })
const runner = sagaRunner(stores.own, {
  sagas: [toSaga(stores)],
  // A step over both stores locks an SQLite file while the other prepares, and renewing a lease waits for that.
  ttlMs: stores.twoPhase === undefined ? 1_000 : 2_000,
  pollMs: 25,
  parkAfterMs: 5,
  abandonMs: 500,
  concurrency: 32,
})
await runner.ready
process.stdout.write('{"ready":true}\n')
process.stdin.once('data', async () => {
  await runner.stop()
  process.exit(0)
})
