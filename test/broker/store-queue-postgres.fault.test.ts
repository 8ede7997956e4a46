import pg from 'pg'
import { afterAll } from 'vitest'
import { describeBrokerContract } from '../../src/testing/broker-contract.ts'
import { startPostgres } from '../support/postgres-server.ts'
import { kit } from './kit.ts'
import { setUpOn } from './set-up.ts'
import { migrateQueue } from './store-queue-stores.ts'

/** A server of its own, since the suite crashes it. */
const server = startPostgres()
let databases = 0
afterAll(async () => (await server).stop())

describeBrokerContract(
  kit,
  'store queue on PostgreSQL',
  async () => {
    const url = await createDatabase()
    await migrateQueue(url)
    return setUpOn(url, {
      kill: async () => (await server).crash(),
      start: async () => (await server).start(),
    })()
  },
  { restarts: 2 },
)

async function createDatabase(): Promise<string> {
  const url = new URL((await server).url)
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  const name = `queue_${++databases}`
  await client.query(`create database ${name} template template0`)
  await client.end()
  url.pathname = `/${name}`
  return url.href
}
