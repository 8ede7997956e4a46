/**
 * Brokers for the tests: the one named by the environment, else an installed one, started on free ports by the first
 * test file that asks and shared by the others of the run. The run's teardown stops it.
 */
import { spawn } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { basename, delimiter, dirname, join } from 'node:path'
import { describe } from 'vitest'
import { freePorts, isListening } from './ports.ts'
import { until } from './wait.ts'

/** Names the environment variable that carries the folder shared by all processes of one test run. */
export const RUN_FOLDER = 'HOLDFAST_TEST_RUN_FOLDER'

export type Server = { readonly url: string } | { readonly missing: string }

/** Describes a suite that needs `server`; without it the suite is skipped, with the reason in its title. */
export function describeWith(server: Server, title: string, suite: (url: string) => void): void {
  if ('url' in server) describe(title, () => suite(server.url))
  else describe.skip(`${title} (skipped: ${server.missing})`, () => suite(''))
}

/** A NATS server with JetStream. Its subjects and streams are shared: give them random names. */
export async function natsServer(): Promise<Server> {
  const given = process.env.HOLDFAST_TEST_NATS_URL
  if (given !== undefined) return { url: given }
  const binary = natsBinary()
  if (binary === undefined) return NO_NATS
  return await shared('nats', async (folder) => (await nats(folder, binary))())
}

/** A RabbitMQ node. Its queues and exchanges are shared: give them random names. */
export async function rabbitmqServer(): Promise<Server> {
  const given = process.env.HOLDFAST_TEST_RABBITMQ_URL
  if (given !== undefined) return { url: given }
  const binary = rabbitmqBinary()
  if (binary === undefined) return NO_RABBITMQ
  return await shared('rabbitmq', async (folder) => (await rabbitmq(folder, binary))())
}

/** A Redis without persistence. Its keys are shared: give them random names. */
export async function redisServer(): Promise<Server> {
  const given = process.env.HOLDFAST_TEST_REDIS_URL
  if (given !== undefined) return { url: given }
  const binary = findBinary('redis-server')
  if (binary === undefined) return NO_REDIS
  return await shared('redis', async (folder) => (await redis(folder, binary))())
}

/** One etcd node. Its keys are shared: give them random names. */
export async function etcdServer(): Promise<Server> {
  const given = process.env.HOLDFAST_TEST_ETCD_URL
  if (given !== undefined) return { url: given }
  const binary = findBinary('etcd')
  if (binary === undefined) return NO_ETCD
  return await shared('etcd', async (folder) => (await etcd(folder, binary))())
}

/** One ZooKeeper server; the URL is `host:port`. Its nodes are shared: give them random names. */
export async function zookeeperServer(): Promise<Server> {
  const given = process.env.HOLDFAST_TEST_ZOOKEEPER_URL
  if (given !== undefined) return { url: given }
  const java = findBinary('java')
  if (java === undefined || !existsSync(ZOOKEEPER_JAR)) return NO_ZOOKEEPER
  return await shared('zookeeper', async (folder) => (await zookeeper(folder, java))())
}

/** A server of the caller's own, which may be killed and started again on the same port and data. */
export interface OwnServer {
  readonly url: string
  /** SIGKILL, to all of its processes. */
  kill(): Promise<void>
  start(): Promise<void>
}

/** Undefined where the server is not installed: a given URL names a server that is not ours to kill. */
export async function ownNats(): Promise<OwnServer | undefined> {
  const binary = natsBinary()
  return binary === undefined ? undefined : own('nats', (folder) => nats(folder, binary))
}

export async function ownRabbitmq(): Promise<OwnServer | undefined> {
  const binary = rabbitmqBinary()
  return binary === undefined
    ? undefined
    : own('rabbitmq', (folder) => rabbitmq(folder, binary), quorumQueuesAreKnown)
}

export async function ownRedis(): Promise<OwnServer | undefined> {
  const binary = findBinary('redis-server')
  return binary === undefined ? undefined : own('redis', (folder) => redis(folder, binary))
}

const NO_NATS = { missing: 'nats-server is not installed and HOLDFAST_TEST_NATS_URL is not set' }
const NO_RABBITMQ = { missing: 'rabbitmq-server is not installed and HOLDFAST_TEST_RABBITMQ_URL is not set' }

const natsBinary = (): string | undefined => findBinary('nats-server')
/** Debian's wrapper on the PATH changes to another user; the script behind it runs as whoever calls it. */
const rabbitmqBinary = (): string | undefined => findBinary('rabbitmq-server', ['/usr/lib/rabbitmq/bin'])

const NO_REDIS = { missing: 'redis-server is not installed and HOLDFAST_TEST_REDIS_URL is not set' }
const NO_ETCD = { missing: 'etcd is not installed and HOLDFAST_TEST_ETCD_URL is not set' }
const NO_ZOOKEEPER = { missing: 'zookeeper is not installed and HOLDFAST_TEST_ZOOKEEPER_URL is not set' }
/** Debian's jar names those that it needs. */
const ZOOKEEPER_JAR = '/usr/share/java/zookeeper.jar'
/** Gives a function that starts the server, now and again. */
type Recipe = (folder: string) => Promise<() => Starting>

async function nats(folder: string, binary: string): Promise<() => Starting> {
  const [port = 0] = await freePorts(1)
  return () => ({
    url: `nats://127.0.0.1:${port}`,
    pid: launch(folder, binary, ['-js', '-a', '127.0.0.1', '-p', String(port), '-sd', folder]),
    ready: () => isListening(port),
  })
}

async function rabbitmq(folder: string, binary: string): Promise<() => Starting> {
  const [port = 0, distPort, epmdPort] = await freePorts(3)
  writeFileSync(join(folder, '.erlang.cookie'), 'holdfast-tests', { mode: 0o400 })
  writeFileSync(join(folder, 'enabled_plugins'), '[].\n')
  writeFileSync(join(folder, 'rabbitmq.conf'), `listeners.tcp.1 = 127.0.0.1:${port}\n`)
  return () => ({
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    // The port mapper would stay behind as a daemon; in the foreground it belongs to the group that is killed.
    pid: launch(folder, '/bin/sh', ['-c', 'epmd -address 127.0.0.1 & exec "$0"', binary], {
      HOME: folder,
      ERL_EPMD_PORT: String(epmdPort),
      RABBITMQ_NODENAME: `holdfast-${port}@localhost`,
      RABBITMQ_DIST_PORT: String(distPort),
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
      RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_PID_FILE: join(folder, 'pid'),
    }),
    ready: () => isListening(port),
  })
}

async function redis(folder: string, binary: string): Promise<() => Starting> {
  const [port = 0] = await freePorts(1)
  return () => ({
    url: `redis://127.0.0.1:${port}`,
    pid: launch(folder, binary, [
      '--bind',
      '127.0.0.1',
      '--port',
      String(port),
      '--dir',
      folder,
      '--save',
      '',
    ]),
    ready: () => isListening(port),
  })
}

async function etcd(folder: string, binary: string): Promise<() => Starting> {
  const [port = 0, peerPort] = await freePorts(2)
  const [url, peer] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peerPort}`]
  return () => ({
    url,
    pid: launch(folder, binary, [
      ...['--name', 'one', '--data-dir', join(folder, 'data'), '--log-level', 'error'],
      ...['--listen-client-urls', url, '--advertise-client-urls', url],
      ...[
        '--listen-peer-urls',
        peer,
        '--initial-advertise-peer-urls',
        peer,
        '--initial-cluster',
        `one=${peer}`,
      ],
    ]),
    ready: async () => (await fetch(`${url}/health`).catch(() => undefined))?.ok === true,
  })
}

async function zookeeper(folder: string, java: string): Promise<() => Starting> {
  const [port = 0] = await freePorts(1)
  mkdirSync(join(folder, 'data'), { recursive: true })
  writeFileSync(
    join(folder, 'zoo.cfg'),
    `tickTime=500\ndataDir=${join(folder, 'data')}\nclientPort=${port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n`,
  )
  return () => ({
    url: `127.0.0.1:${port}`,
    pid: launch(folder, java, [
      ...['-Xmx128m', '-cp', ZOOKEEPER_JAR, '-Dzookeeper.admin.enableServer=false'],
      ...['org.apache.zookeeper.server.ZooKeeperServerMain', join(folder, 'zoo.cfg')],
    ]),
    ready: () => servesZookeeper(port),
  })
}

/** It listens before it serves. */
function servesZookeeper(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => socket.write('srvr'))
    socket.setTimeout(1_000, () => socket.destroy())
    socket.on('data', (data) => {
      text += data.toString()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text.includes('Mode:')))
  })
}

/**
 * RabbitMQ writes its list of quorum queues a few seconds late; killed before, it starts again with the newest queues
 * lost (3.10). What we test is a server that had them.
 */
function quorumQueuesAreKnown(folder: string): boolean {
  const quorum = readdirSync(join(folder, 'mnesia'), { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, 'mnesia', path))
    .filter((path) => path.includes('/quorum/'))
  const list = quorum.find((path) => path.endsWith('names.dets'))
  const known = list === undefined ? '' : readFileSync(list, 'latin1')
  return quorum
    .filter((path) => path.endsWith('/config'))
    .every((path) => known.includes(basename(dirname(path))))
}

async function own(
  name: string,
  recipe: Recipe,
  mayBeKilled: (folder: string) => boolean = () => true,
): Promise<OwnServer> {
  const folder = mkdtempSync(join(runFolder(), `own-${name}-`))
  const launchIt = await recipe(folder)
  let running = launchIt()
  async function start(): Promise<void> {
    writeFileSync(join(folder, 'group'), String(running.pid))
    await until(running.ready, { deadlineMs: 45_000, everyMs: 50, what: `${name} to start` })
  }
  const restart = (): Promise<void> => {
    running = launchIt()
    return start()
  }
  async function kill(): Promise<void> {
    await until(() => mayBeKilled(folder), { what: `${name} to have its state on disk` })
    process.kill(-running.pid, 'SIGKILL')
    await until(async () => !(await running.ready()), { what: `${name} to be gone` })
  }
  await start()
  return { url: running.url, kill, start: restart }
}

/** Kills every process group that `shared` started. */
export function stopSharedServers(runFolder: string): void {
  if (!existsSync(runFolder)) return
  for (const name of readdirSync(runFolder)) {
    const pidFile = join(runFolder, name, 'group')
    if (!existsSync(pidFile)) continue
    try {
      process.kill(-Number(readFileSync(pidFile, 'utf8')), 'SIGKILL')
    } catch {
      // it has ended by itself
    }
  }
}

interface Starting {
  readonly url: string
  readonly pid: number
  readonly ready: () => Promise<boolean>
}

/** Making the folder is the lock: who makes it starts the server, the others wait for the answer. */
export async function shared(name: string, start: (folder: string) => Promise<Starting>): Promise<Server> {
  const folder = join(runFolder(), name)
  const answerFile = join(folder, 'answer.json')
  try {
    mkdirSync(folder)
  } catch {
    await until(() => existsSync(answerFile), {
      deadlineMs: 60_000,
      what: `${name}, which another test file starts`,
    })
    return JSON.parse(readFileSync(answerFile, 'utf8')) as Server
  }
  const answer = (server: Server): Server => {
    writeFileSync(`${answerFile}.new`, JSON.stringify(server))
    renameSync(`${answerFile}.new`, answerFile)
    return server
  }
  try {
    const { url, pid, ready } = await start(folder)
    writeFileSync(join(folder, 'group'), String(pid))
    await until(ready, { deadlineMs: 45_000, everyMs: 50, what: `${name} to start` })
    return answer({ url })
  } catch (error) {
    return answer({ missing: `${name} is installed and did not start: ${String(error)}` })
  }
}

function runFolder(): string {
  const folder = process.env[RUN_FOLDER]
  if (folder === undefined)
    throw new Error('name the test file .db, .fault or .e2e: unit tests have no servers')
  return folder
}

/** Starts a process group of its own, so that it outlives this worker and is killed whole. */
export function launch(
  folder: string,
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): number {
  const log = openSync(join(folder, 'output.log'), 'a')
  const child = spawn(command, args, {
    cwd: folder,
    detached: true,
    env: { ...process.env, ...env },
    stdio: ['ignore', log, log],
  })
  child.on('error', () => {}) // the server then never becomes ready, which is what is reported
  child.unref()
  return child.pid ?? 0
}

export function findBinary(name: string, preferred: readonly string[] = []): string | undefined {
  const folders = [...preferred, ...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
