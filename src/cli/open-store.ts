import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { SpecClient } from '../race/spec/index.ts'
import { type PgPoolLike, postgres } from '../store/postgres/index.ts'
import { sqlite } from '../store/sqlite/index.ts'
import type { Store } from '../store/store.ts'
import { allTables } from '../tables/index.ts'
import { CliError, usageError } from './cli-error.ts'
import { EXIT, type Given, type OptionSpec, textValue } from './command.ts'
import { loadDriver } from './load-driver.ts'
import { refuseUnfit } from './revisions.ts'
import { loadSqlite } from './sqlite-driver.ts'

/** Options of every command that talks to a store. */
export const STORE_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  store: {
    type: 'string',
    value: 'URL',
    summary: 'sqlite:PATH or postgres://…; default: the environment variable HOLDFAST_STORE',
  },
  prefix: {
    type: 'string',
    value: 'TEXT',
    summary: 'what the names of the tables begin with; default holdfast_',
  },
  schema: { type: 'string', value: 'NAME', summary: 'PostgreSQL schema that holds the tables' },
}

export type StoreAddress =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly url: string }

/** A store with what the command line knows about it beyond the contract. */
export type OpenedStore = { readonly store: Store; readonly label: string } & (
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'postgres'; readonly pool: PgPool }
)

/** The part of `pg` that the command line calls beyond what the adapter does. */
export interface PgPool extends PgPoolLike {
  end(): Promise<void>
}

/** Connections of one command; `doctor` needs two at once to find a proxy. */
const POOL_MAX = 3
const CONNECT_MS = 8_000

/**
 * Opens the store that was named, hands it to `use` and closes it again.
 *
 * Unless `create` is set, an SQLite file that does not exist is an error: opening it would make an empty one. Unless
 * `anyRevision` is set, tables that this code cannot work with are an error too, before anything is read or written.
 * @throws CliError for an address that cannot be read, a missing file or a missing driver; SchemaRevisionError
 */
export async function withStore<T>(
  given: Given,
  use: (opened: OpenedStore) => Promise<T>,
  { create = false, anyRevision = false }: { create?: boolean; anyRevision?: boolean } = {},
): Promise<T> {
  const address = storeAddress(given)
  const opened =
    address.kind === 'sqlite' ? await openSqlite(address, given, create) : await openPostgres(address, given)
  try {
    if (!anyRevision) await refuseUnfit(opened.store, allTables)
    return await use(opened)
  } finally {
    await opened.store.close()
    if (opened.kind === 'postgres') await opened.pool.end()
  }
}

/** Opens a PostgreSQL store beside the one that was named. The caller closes it. */
export async function openStoreAt(
  url: string,
  given: Given,
): Promise<{ store: Store; close(): Promise<void> }> {
  const opened = await openPostgres({ url }, given)
  return {
    store: opened.store,
    close: async () => {
      if (opened.kind === 'postgres') await opened.pool.end()
    },
  }
}

/** A store that knows names and the dialect but never connects, for printing SQL. */
export function unconnectedStore(given: Given): Store {
  const never = (): never => {
    throw new Error('a store for printing does not connect')
  }
  return storeAddress(given).kind === 'sqlite'
    ? sqlite({ open: never, ...sqliteNames(given) })
    : postgres({ connect: never }, postgresNames(given))
}

/** @throws CliError, usage; the text never repeats a password */
export function storeAddress(given: Given): StoreAddress {
  const option = textValue(given, 'store')
  const text = option ?? given.io.env.HOLDFAST_STORE
  if (text === undefined || text === '') {
    throw usageError(
      'no store is named: give --store sqlite:PATH or --store postgres://…, or set HOLDFAST_STORE',
    )
  }
  if (/^postgres(ql)?:\/\//i.test(text)) return { kind: 'postgres', url: text }
  const path = /^sqlite:(?:\/\/(?=\/))?(.+)$/i.exec(text)?.[1]
  if (path === ':memory:') {
    throw usageError('sqlite::memory: would be an empty database of this command alone: name a file')
  }
  if (path !== undefined) return { kind: 'sqlite', path: resolve(path) }
  if (/^sqlite:/i.test(text)) throw usageError('sqlite: needs the path of a file: sqlite:shop.db')
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(text)?.[0]
  throw usageError(
    `${option === undefined ? 'HOLDFAST_STORE' : '--store'} must begin with sqlite: or postgres://, got ${
      scheme === undefined ? 'no such beginning (for a file, write sqlite:PATH)' : `"${scheme}"`
    }`,
  )
}

async function openSqlite({ path }: { path: string }, given: Given, create: boolean): Promise<OpenedStore> {
  if (!create && !existsSync(path)) {
    throw new CliError(
      'STORE_UNAVAILABLE',
      EXIT.unreachable,
      `there is no file ${path}: check the path, or create the database with "holdfast migrate"`,
    )
  }
  if (existsSync(path) && !statSync(path).isFile()) throw usageError(`${path} is not a file`)
  const open = await loadSqlite()
  const store = sqlite({ open: () => open(path), ...sqliteNames(given) })
  return { kind: 'sqlite', store, path, label: `sqlite:${path}` }
}

async function openPostgres({ url }: { url: string }, given: Given): Promise<OpenedStore> {
  const { Pool } = await loadPg()
  const pool = new Pool({
    connectionString: url,
    max: POOL_MAX,
    connectionTimeoutMillis: CONNECT_MS,
    application_name: 'holdfast-cli',
  })
  // Not prepared: a command runs each statement once, and a pooling proxy may lead it to another server process.
  const store = postgres(pool, { prepare: false, ...postgresNames(given) })
  return { kind: 'postgres', store, pool, label: withoutPassword(url) }
}

/** The classes of `pg` that commands use. */
export interface PgDriver {
  readonly Pool: new (options: object) => PgPool
  readonly Client: new (options: object) => SpecClient
}

/** @throws CliError where it is not installed */
export function loadPg(): Promise<PgDriver> {
  return loadDriver<PgDriver>('pg', 'PostgreSQL')
}

function sqliteNames(given: Given): { prefix?: string } {
  if (textValue(given, 'schema') !== undefined)
    throw usageError('--schema is for PostgreSQL; SQLite has --prefix')
  const prefix = textValue(given, 'prefix')
  return prefix === undefined ? {} : { prefix }
}

function postgresNames(given: Given): { prefix?: string; schema?: string } {
  const prefix = textValue(given, 'prefix')
  const schema = textValue(given, 'schema')
  return { ...(prefix === undefined ? {} : { prefix }), ...(schema === undefined ? {} : { schema }) }
}

function withoutPassword(url: string): string {
  try {
    const parsed = new URL(url)
    parsed.password = ''
    parsed.search = ''
    return parsed.href
  } catch {
    return 'postgres://…'
  }
}
