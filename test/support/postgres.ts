import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, inject } from 'vitest'

export { inTransaction } from './in-transaction.ts'

export interface FreshDatabase extends AsyncDisposable {
  readonly url: string
  /** Drops the database, disconnecting whoever is left and rolling back what is still prepared. */
  drop(): Promise<void>
}

export interface FreshPool extends FreshDatabase {
  readonly pool: pg.Pool
}

/**
 * An empty database with a random name on the test server. Drop it, or write `await using db = …`.
 *
 * Making one takes the server longer than most tests run, so the next one is made while this one is in use.
 */
export async function freshDatabase(): Promise<FreshDatabase> {
  const made = spare ?? createDatabase()
  spare = createDatabase()
  spare.catch(() => {}) // whoever asks for it is told
  const name = await made
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${name}`
  return { url: url.href, drop: () => dropDatabase(name), [Symbol.asyncDispose]: () => dropDatabase(name) }
}

let spare: Promise<string> | undefined
/** To the server's own database; opened by the first test of a file that needs it. */
let server: Promise<pg.Client> | undefined

// A process that a test started may import this file too, and has no hooks.
if ('__vitest_worker__' in globalThis) {
  afterAll(async () => {
    if (spare !== undefined) await spare.then(dropDatabase, () => {})
    await (await server)?.end()
  })
}

async function createDatabase(): Promise<string> {
  const name = `t_${randomBytes(6).toString('hex')}`
  server ??= connect(inject('postgresUrl'))
  await (await server).query(`create database ${name} template template0`)
  return name
}

async function dropDatabase(name: string): Promise<void> {
  server ??= connect(inject('postgresUrl'))
  const client = await server
  const { rows } = await client.query<{ gid: string }>(
    'select gid from pg_prepared_xacts where database = $1',
    [name],
  )
  if (rows.length > 0) {
    // Only a connection to the same database may end them.
    const url = new URL(inject('postgresUrl'))
    url.pathname = `/${name}`
    const inside = await connect(url.href)
    for (const { gid } of rows) await inside.query(`rollback prepared ${inside.escapeLiteral(gid)}`)
    await inside.end()
  }
  await client.query(`drop database if exists ${name} with (force)`)
}

/** The same with a pool on it; `drop` ends the pool first. */
export async function freshPool(options: pg.PoolConfig = {}): Promise<FreshPool> {
  const database = await freshDatabase()
  const pool = new pg.Pool({ ...options, connectionString: database.url })
  pool.on('error', () => {}) // an idle connection that a test cut; the test asserts what matters
  let dropped: Promise<void> | undefined
  const drop = () => {
    dropped ??= pool.end().then(database.drop)
    return dropped
  }
  return { url: database.url, pool, drop, [Symbol.asyncDispose]: drop }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}
