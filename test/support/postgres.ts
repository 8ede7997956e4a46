import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

export interface FreshDatabase extends AsyncDisposable {
  readonly url: string
  /** Drops the database, disconnecting whoever is left and rolling back what is still prepared. */
  drop(): Promise<void>
}

export interface FreshPool extends FreshDatabase {
  readonly pool: pg.Pool
}

/** An empty database with a random name on the test server. Drop it, or write `await using db = …`. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const serverUrl = inject('postgresUrl')
  const name = `t_${randomBytes(6).toString('hex')}`
  await once(serverUrl, (client) => client.query(`create database ${name} template template0`))
  const url = new URL(serverUrl)
  url.pathname = `/${name}`

  async function drop(): Promise<void> {
    await once(url.href, async (client) => {
      const { rows } = await client.query<{ gid: string }>(
        'select gid from pg_prepared_xacts where database = current_database()',
      )
      for (const { gid } of rows) await client.query(`rollback prepared ${client.escapeLiteral(gid)}`)
    })
    await once(serverUrl, (client) => client.query(`drop database if exists ${name} with (force)`))
  }
  return { url: url.href, drop, [Symbol.asyncDispose]: drop }
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

async function once<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}
