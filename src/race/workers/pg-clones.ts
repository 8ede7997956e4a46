/** Clones of the race's PostgreSQL database, one for each worker. */
import { randomBytes } from 'node:crypto'
import { RaceCloneError } from '../errors.ts'
import type { PoolLike, RawClient } from '../intercept-pg.ts'
import { openControl } from '../race.ts'
import { realNow } from '../virtual.ts'
import { addressOf, type PgClientClass, type PgRedirect } from './redirect-pg.ts'

/** One database for each worker, until `drop`. */
export interface Clones<Redirect> {
  readonly redirects: readonly Redirect[]
  /** Ends them, whoever is still connected. */
  drop(): Promise<void>
}

/** Held while clones are made or swept: one that nobody is connected to yet would look as if its run were dead. */
const MAKING = 0x52414345
/** How long another run may take to make its clones, and how often it is looked whether it has. */
const MAKING_MS = 60_000
const LOOK_MS = 200

type Pool = PoolLike & { readonly options: object }

/**
 * Makes the first clone of the database that the pool leads to, and the others of that one, so that the database has to be
 * without sessions for a moment only. Idle connections of the pool are closed for it. A session in each clone says that its
 * run is alive.
 *
 * @throws RaceCloneError with what is missing: a right, or that other sessions leave
 */
export async function clonePg(pool: Pool, count: number): Promise<Clones<PgRedirect>> {
  await closeIdle(pool)
  const from = addressOf(pool.Client as unknown as PgClientClass, pool.options)
  const made: string[] = []
  const keepers: RawClient[] = []
  const drop = async (): Promise<void> => {
    await Promise.allSettled(keepers.map((keeper) => keeper.end()))
    if (made.length > 0) await within(pool, (server) => dropAll(server, made))
  }
  try {
    await alone(pool, async (server) => {
      const { rows } = await server.query(
        'select oid::bigint::text as oid from pg_catalog.pg_database where datname = current_database()',
      )
      const prefix = `holdfast_race_${rows[0].oid}_`
      await sweep(server, prefix)
      const run = randomBytes(4).toString('hex')
      for (let at = 0; at < count; at += 1) {
        const name = `${prefix}${run}_${at}`
        await create(server, name, made[0] ?? from.database)
        made.push(name)
        await copySettings(server, name)
      }
      for (const name of made) keepers.push(await keep(pool, name))
    })
  } catch (error) {
    await drop().catch(() => {})
    throw error
  }
  return { redirects: made.map((to) => ({ from, to })), drop }
}

/** A short session in the database itself: while it is there, nobody else can clone. */
async function within(pool: Pool, work: (server: RawClient) => Promise<void>): Promise<void> {
  const server = await openControl(pool)
  try {
    await work(server)
  } finally {
    await server.end()
  }
}

/** `work` while no other run makes clones. Whoever waited in a session would be one too many for the other's template. */
async function alone(pool: Pool, work: (server: RawClient) => Promise<void>): Promise<void> {
  const began = realNow()
  for (let done = false; !done; ) {
    if (realNow() - began > MAKING_MS) {
      throw new RaceCloneError('another search is making its clones of the same database, and does not end')
    }
    await within(pool, async (server) => {
      const { rows } = await server.query('select pg_try_advisory_lock($1) as mine', [MAKING])
      done = rows[0].mine
      if (done) await work(server)
    })
    if (!done) await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
}

async function keep(pool: Pool, name: string): Promise<RawClient> {
  const keeper = await openControl(pool, { database: name })
  // Its server may be stopped before it: then there is nothing left to drop.
  ;(keeper as unknown as NodeJS.EventEmitter).on('error', () => {})
  return keeper
}

/** By the pool's own means: a client that is released with an error is closed. */
async function closeIdle(pool: Pool): Promise<void> {
  const one = pool as unknown as {
    readonly idleCount: number
    connect(): Promise<{ release(destroy: boolean): void }>
  }
  while (one.idleCount > 0) (await one.connect()).release(true)
}

/** No parameters in DDL: both names are quoted. The server itself waits 5 s for sessions that are about to leave. */
async function create(server: RawClient, name: string, template: string): Promise<void> {
  try {
    await server.query(`create database ${quoted(name)} template ${quoted(template)}`)
  } catch (error) {
    throw new RaceCloneError(await whyNot(server, template, error as Error & { code?: string }), {
      cause: error,
    })
  }
}

async function whyNot(
  server: RawClient,
  template: string,
  { code, message }: Error & { code?: string },
): Promise<string> {
  const tried = `no clone of the database "${template}" can be made for a worker`
  if (code === '42501') {
    const { rows } = await server.query(
      'select rolname as role, rolcreatedb or rolsuper as creates from pg_catalog.pg_roles where rolname = current_user',
    )
    const { role, creates } = rows[0]
    return creates
      ? `${tried}: the role "${role}" is not its owner; run: alter database ${quoted(template)} owner to ${quoted(role)}`
      : `${tried}: the role "${role}" lacks the right CREATEDB; run: alter role ${quoted(role)} createdb (or leave workers out)`
  }
  if (code === '55006') {
    // What is known of each session without being its owner.
    const { rows } = await server.query(`
      select pid, coalesce(nullif(application_name, ''), 'without a name') as name, coalesce(host(client_addr), 'local') as host
      from pg_catalog.pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() order by pid limit 5`)
    const sessions = rows.map(({ pid, name, host }) => `${pid} (${name}, ${host})`).join(', ')
    return `${tried} while other sessions use it: end ${sessions === '' ? 'them' : sessions}, or leave workers out`
  }
  return `${tried}: ${message}`
}

/** What CREATE DATABASE leaves behind: the settings of ALTER DATABASE … SET and ALTER ROLE … IN DATABASE … SET. */
async function copySettings(server: RawClient, name: string): Promise<void> {
  const { rows } = await server.query(`
    select r.rolname as role, unnest(s.setconfig) as setting
    from pg_catalog.pg_db_role_setting s left join pg_catalog.pg_roles r on r.oid = s.setrole
    where s.setdatabase = (select oid from pg_catalog.pg_database where datname = current_database())`)
  for (const { role, setting } of rows as { role: string | null; setting: string }[]) {
    const at = setting.indexOf('=')
    const [parameter, value] = [setting.slice(0, at), setting.slice(at + 1)]
    const whose =
      role === null ? `database ${quoted(name)}` : `role ${quoted(role)} in database ${quoted(name)}`
    // Lists are kept as identifiers that are quoted already; quoted once more they would be one.
    const text = LISTS.has(parameter) ? value : `'${value.replaceAll("'", "''")}'`
    await server.query(`alter ${whose} set ${parameter} to ${text}`)
  }
}

/** @see PostgreSQL, variable_is_guc_list_quote of src/bin/pg_dump/dumputils.c */
const LISTS = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
])

/** Drops the clones of runs that were killed: nobody is connected to them. */
async function sweep(server: RawClient, prefix: string): Promise<void> {
  const { rows } = await server.query(
    `select datname as name from pg_catalog.pg_database d where starts_with(datname, $1)
       and not exists (select from pg_catalog.pg_stat_activity a where a.datid = d.oid)`,
    [prefix],
  )
  // Those of another role cannot be dropped, and do no harm.
  for (const { name } of rows as { name: string }[]) await dropAll(server, [name]).catch(() => {})
}

/** Sessions that are left in a clone are a killed worker's. FORCE is of PostgreSQL 13. */
async function dropAll(server: RawClient, names: readonly string[]): Promise<void> {
  for (const name of names) await server.query(`drop database if exists ${quoted(name)} with (force)`)
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
