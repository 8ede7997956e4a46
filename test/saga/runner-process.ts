/** A process that runs programs until it is killed; with `failpoint`, it kills or stops itself there. */
import { sagaRunner } from 'holdfast/saga'
import { armFailpointsFromEnv } from 'holdfast/testing'
import { openStoreAt } from '../support/store-at.ts'
import { toSaga } from './program.ts'

const { own, other, failpoint } = JSON.parse(process.argv[2] as string) as {
  own: string
  other: string
  failpoint?: string
}

const open = (at: string) => openStoreAt(at, { max: 8, idle_in_transaction_session_timeout: 2_000 }).store
const stores = { own: open(own), other: open(other) }
armFailpointsFromEnv(failpoint)
const runner = sagaRunner(stores.own, {
  sagas: [toSaga(stores)],
  ttlMs: 1_000,
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
