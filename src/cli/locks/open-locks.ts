import { type EtcdLike, etcdLocks } from '../../lock/etcd/index.ts'
import { createLocks, type LockEngine, type Locks } from '../../lock/index.ts'
import { type RedisLike, redisLocks } from '../../lock/redis/index.ts'
import { type ZookeeperLike, zookeeperLocks } from '../../lock/zookeeper/index.ts'
import { CliError } from '../cli-error.ts'
import { EXIT, type Given, textValue } from '../command.ts'
import { loadDriver } from '../load-driver.ts'
import { withStore } from '../open-store.ts'
import { type Ensemble, type LocksAddress, locksAddress } from './locks-address.ts'

/** Bound of getting a connection. */
const CONNECT_MS = 5_000

interface OpenedEngine {
  readonly engine: LockEngine
  close(): void
}

/**
 * Opens the locks that were named, in whichever engine, hands them to `use` and closes what it opened.
 * @throws CliError for an address that cannot be read, a server that cannot be reached or a missing driver
 */
export async function withLocks<T>(given: Given, use: (locks: Locks) => Promise<T>): Promise<T> {
  const address = locksAddress(given)
  if (address.kind === 'store') return withStore(given, ({ store }) => use(createLocks(store)))
  const { engine, close } = await open(address, textValue(given, 'prefix'))
  const locks = createLocks(engine)
  try {
    return await use(locks)
  } finally {
    await locks.close()
    close()
  }
}

function open(address: Exclude<LocksAddress, { kind: 'store' }>, prefix: string | undefined) {
  switch (address.kind) {
    case 'redis':
      return openRedis(address, prefix === undefined ? {} : { prefix })
    case 'etcd':
      return openEtcd(address, prefix === undefined ? {} : { prefix })
    case 'zookeeper':
      return openZookeeper(address, prefix === undefined ? {} : { root: prefix })
  }
}

/** The part of `ioredis` that the command line calls beyond what the engine does. */
interface RedisClient extends RedisLike {
  on(event: 'error', listener: (error: Error) => void): unknown
  connect(): Promise<void>
  disconnect(): void
}

async function openRedis(
  { url, label }: { readonly url: string; readonly label: string },
  options: { prefix?: string },
): Promise<OpenedEngine> {
  const { Redis } = await loadDriver<{ Redis: new (url: string, options: object) => RedisClient }>(
    'ioredis',
    'Redis',
  )
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  })
  // What the driver rejects with says that the connection is closed; why is in the event.
  let why: Error | undefined
  client.on('error', (error) => {
    why ??= error
  })
  try {
    await client.connect()
    if (why !== undefined) throw why
  } catch (cause) {
    client.disconnect()
    throw unreachable(label, why ?? cause)
  }
  return { engine: redisLocks(client, options), close: () => client.disconnect() }
}

async function openEtcd({ hosts, login }: Ensemble, options: { prefix?: string }): Promise<OpenedEngine> {
  const { Etcd3 } = await loadDriver<{ Etcd3: new (options: object) => EtcdLike & { close(): void } }>(
    'etcd3',
    'etcd',
  )
  const client = new Etcd3({
    hosts: hosts.map((host) => `http://${host}`),
    ...(login === undefined ? {} : { auth: login }),
  })
  return { engine: etcdLocks(client, options), close: () => client.close() }
}

async function openZookeeper(
  { hosts, login, path }: Ensemble,
  options: { root?: string },
): Promise<OpenedEngine> {
  const driver = await loadDriver<{
    createClient(
      servers: string,
      options: object,
    ): ZookeeperLike & { addAuthInfo(scheme: string, auth: Buffer): void }
  }>('node-zookeeper-client', 'ZooKeeper')
  const engine = zookeeperLocks(() => {
    const client = driver.createClient(`${hosts.join(',')}${path}`, { sessionTimeout: CONNECT_MS })
    if (login !== undefined) client.addAuthInfo('digest', Buffer.from(`${login.username}:${login.password}`))
    return client
  }, options)
  return { engine, close: () => {} }
}

function unreachable(label: string, cause: unknown): CliError {
  return new CliError(
    'LOCK_ENGINE_UNAVAILABLE',
    EXIT.unreachable,
    `${label} cannot be reached (${cause instanceof Error ? cause.message : String(cause)}): check the address, and that the server runs`,
    { cause },
  )
}
