/** A process that runs programs until it is killed; with `failpoint`, it kills or stops itself there. */
import type { Store } from 'holdfast'
import { postgres } from 'holdfast/postgres'
import { sagaRunner } from 'holdfast/saga'
import { sqlite } from 'holdfast/sqlite'
import { armFailpointsFromEnv } from 'holdfast/testing'
import pg from 'pg'
import { openSqlite } from '../support/sqlite.ts'
import { toSaga } from './program.ts'

const { kind, own, other, failpoint } = JSON.parse(process.argv[2] as string) as {
  kind: 'sqlite' | 'postgres'
  own: string
  other: string
  failpoint?: string
}

function open(at: string): Store {
  if (kind === 'sqlite') return sqlite({ open: () => openSqlite(at), synchronous: 'normal' })
  const pool = new pg.Pool({ connectionString: at, max: 8, idle_in_transaction_session_timeout: 2_000 })
  pool.on('error', () => {})
  return postgres(pool)
}

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
