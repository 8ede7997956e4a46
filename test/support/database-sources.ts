import { randomBytes } from 'node:crypto'
import { postgres } from 'holdfast/postgres'
import { allTables, migrate } from 'holdfast/tables'
import pg from 'pg'

/** What a database of a test begins with: nothing, or every table as `migrate(store, allTables)` makes them. */
export type Contents = 'empty' | 'all tables'

/** The end of a CREATE DATABASE statement, for each. */
export type DatabaseSources = Readonly<Record<Contents, string>>

/** Makes the database that those with all tables are copies of. The server at `url` belongs to the tests. */
export async function prepareDatabaseSources(
  url: string,
): Promise<{ sources: DatabaseSources; remove(): Promise<void> }> {
  const server = new pg.Client({ connectionString: url })
  await server.connect()
  const template = `template_${randomBytes(6).toString('hex')}`
  await server.query(`create database ${template} template template0`)
  const there = new URL(url)
  there.pathname = `/${template}`
  const pool = new pg.Pool({ connectionString: there.href })
  try {
    await migrate(postgres(pool), allTables)
  } finally {
    await pool.end()
  }
  // A database to which somebody is connected cannot be copied.
  await server.query(`alter database ${template} allow_connections false`)
  const { rows } = await server.query<{ named: boolean }>(
    `select current_setting('server_version_num')::int >= 150000 as named`,
  )
  // Before 15 there was no other way. Since then the default copies page by page through the log.
  const strategy = rows[0]?.named ? ' strategy file_copy' : ''
  return {
    sources: {
      empty: `template template0${strategy}`,
      'all tables': `template ${template}${strategy}`,
    },
    async remove() {
      await server.query(`drop database if exists ${template}`)
      await server.end()
    },
  }
}
