import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, inject } from 'vitest'
import type { Contents } from './database-sources.ts'

export { inTransaction } from './in-transaction.ts'

export interface FreshDatabase extends AsyncDisposable {
  readonly url: string
  /**
   * Drops the database, disconnecting whoever is left and rolling back what is still prepared. Nobody waits for the
   * server, which first writes a checkpoint: what goes wrong fails the file at its end.
   */
  drop(): Promise<void>
}

export interface FreshPool extends FreshDatabase {
  readonly pool: pg.Pool
}

/**
 * A database with a random name on the test server. Drop it, or write `await using db = …`.
 *
 * Making one takes the server longer than most tests run, so the next one is made while this one is in use, and one is
 * removed while the next test runs. A copy with all tables is cheaper than migrating an empty one.
 */
export async function freshDatabase(contents: Contents = 'empty'): Promise<FreshDatabase> {
  const made = spares.get(contents) ?? createDatabase(contents)
  const spare = createDatabase(contents)
  spare.catch(() => {}) // whoever asks for it is told
  spares.set(contents, spare)
  const name = await made
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${name}`
  const drop = async () => {
    const dropped = dropDatabase(name)
    dropped.catch(() => {}) // the end of the file is told
    drops.push(dropped)
  }
  return { url: url.href, drop, [Symbol.asyncDispose]: drop }
}

const spares = new Map<Contents, Promise<string>>()
const drops: Promise<void>[] = []
/** To the server's own database; opened by the first test of a file that needs it. One may make while one removes. */
let server: pg.Pool | undefined

// A process that a test started may import this file too, and has no hooks.
if ('__vitest_worker__' in globalThis) {
  afterAll(async () => {
    for (const spare of spares.values()) drops.push(spare.then(dropDatabase, () => {}))
    await Promise.all(drops)
    await server?.end()
  })
}

async function createDatabase(contents: Contents): Promise<string> {
  const name = `t_${randomBytes(6).toString('hex')}`
  await ask(`create database ${name} ${inject('databaseSources')[contents]}`)
  return name
}

function ask<Row extends pg.QueryResultRow>(
  text: string,
  values: unknown[] = [],
): Promise<pg.QueryResult<Row>> {
  server ??= new pg.Pool({ connectionString: inject('postgresUrl'), max: 2 })
  return server.query<Row>(text, values)
}

async function dropDatabase(name: string): Promise<void> {
  const { rows } = await ask<{ gid: string }>('select gid from pg_prepared_xacts where database = $1', [name])
  if (rows.length > 0) {
    // Only a connection to the same database may end them.
    const url = new URL(inject('postgresUrl'))
    url.pathname = `/${name}`
    const inside = new pg.Client({ connectionString: url.href })
    await inside.connect()
    for (const { gid } of rows) await inside.query(`rollback prepared ${inside.escapeLiteral(gid)}`)
    await inside.end()
  }
  await ask(`drop database if exists ${name} with (force)`)
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
