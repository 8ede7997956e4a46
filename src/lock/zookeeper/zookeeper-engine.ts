import { type Clock, systemClock } from '../../core/clock.ts'
import { ConfigError } from '../../core/errors.ts'
import { checkOptions, isName } from '../../core/options.ts'
import { within } from '../../core/timer.ts'
import type { LockAnswer, LockEngine, LockEntryInfo, LockInfo, LockMode, LockRequest } from '../engine.ts'
import { describeQueue, holdsAt, predecessorOf, type QueueEntry } from '../queue.ts'
import type { ZookeeperLike, ZookeeperStat } from './zookeeper-client.ts'

export interface ZookeeperLocksOptions {
  /** The node below which the locks stand. Default `/holdfast/locks`. */
  readonly root?: string
  readonly clock?: Clock
}

const LIMIT_MAX = 1_000_000_000
const EPHEMERAL_SEQUENTIAL = 3
/** Of ZooKeeper's protocol. */
const [NO_NODE, SESSION_EXPIRED] = [-101, -112]
const CONNECT_MS = 5_000

/**
 * Locks in ZooKeeper: a place in the queue is an ephemeral sequential node, and its czxid is the token.
 *
 * What it survives: with three nodes the loss of one, and a partition on the side of the majority. The lease is the
 * session's: `ttlMs` below the session's timeout is refused, and what is granted is that timeout. `open` makes a client; it
 * is called again when the session has expired. The engine connects and closes what it gives.
 */
export function zookeeperLocks(open: () => ZookeeperLike, options: ZookeeperLocksOptions = {}): LockEngine {
  const { root = '/holdfast/locks', clock = systemClock } = options
  checkOptions(
    'zookeeperLocks',
    options,
    ['root', 'clock'],
    [
      isName('root', root),
      /^(\/[^/]+)+$/.test(root) || `root must be a path like /holdfast/locks, got ${root}`,
    ],
  )
  return new ZookeeperEngine(open, root, clock)
}

interface Waiter {
  readonly wake: () => void
  watching: string | undefined
}

interface NodeEntry extends QueueEntry {
  readonly path: string
  readonly sequence: number
}

interface Session {
  readonly client: ZookeeperLike
  readonly ready: Promise<void>
  over: boolean
}

class ZookeeperEngine implements LockEngine {
  readonly name = 'ZooKeeper locks'
  readonly clock: Clock
  readonly #open: () => ZookeeperLike
  readonly #root: string
  readonly #waiters = new Map<string, Waiter>()
  /** The session in which each holder asked. A node of an earlier session may end at any moment, so it counts for nothing. */
  readonly #asked = new Map<string, Session>()
  /** What could not be removed when it was released: its node lives as long as the session, so this must not be left. */
  readonly #leaving = new Map<string, string>()
  #sweeping = false
  #session: Session | undefined

  constructor(open: () => ZookeeperLike, root: string, clock: Clock) {
    this.#open = open
    this.#root = root
    this.clock = clock
  }

  ttlBounds() {
    return { minMs: this.#session?.client.getSessionTimeout() ?? 1, maxMs: 2_147_483_647 }
  }

  async ask(request: LockRequest, { wait }: { readonly wait: boolean }): Promise<LockAnswer> {
    const { name, holder } = request
    const { session, client } = await this.#connected()
    const ttlMs = client.getSessionTimeout()
    if (request.ttlMs < ttlMs) {
      throw new ConfigError('locks.acquire', [
        `ttlMs must be at least ${ttlMs}, the session's timeout, with ${this.name}, got ${request.ttlMs}`,
      ])
    }
    const before = this.#asked.get(holder)
    const first = before === undefined
    if (before !== undefined && before !== session) await this.#remove(name, holder)
    this.#asked.set(holder, session)
    if (!wait && first) {
      const queue = await this.#queue(client, name)
      if (!holdsAt([...queue, request], queue.length)) {
        this.#asked.delete(holder)
        return { kind: 'refused' }
      }
    }
    let queue = first ? [] : await this.#queue(client, name)
    if (!queue.some((entry) => entry.holder === holder)) {
      await this.#create(client, request)
      // Sent at last after a connection was lost, when whoever asked had already given up.
      if (!this.#asked.has(holder)) {
        await this.release(request)
        return { kind: 'waiting', ahead: 0, lookInMs: ttlMs }
      }
      queue = await this.#queue(client, name)
    }
    const index = queue.findIndex((entry) => entry.holder === holder)
    const mine = queue[index]
    const sentAtMs = this.clock.monotonic()
    const stat = mine && (await existsAt(client, mine.path))
    if (mine === undefined || !stat) return { kind: 'waiting', ahead: queue.length, lookInMs: 1 }
    if (holdsAt(queue, index)) {
      return { kind: 'held', token: stat.czxid.readBigInt64BE(), ttlMs, validUntilMs: sentAtMs + ttlMs }
    }
    if (!wait) {
      await this.release(request)
      return { kind: 'refused' }
    }
    const ahead = queue[predecessorOf(queue, index) ?? 0]
    if (ahead !== undefined) await this.#watch(client, holder, ahead.path)
    return { kind: 'waiting', ahead: index, lookInMs: ttlMs }
  }

  /** A question to the server also renews the session, if it still runs. */
  async renew({ name, holder }: LockRequest): Promise<{ validUntilMs: number } | undefined> {
    const sentAtMs = this.clock.monotonic()
    try {
      const { session, client } = await this.#connected()
      if (this.#asked.get(holder) !== session) return undefined
      const queue = await this.#queue(client, name)
      if (!queue.some((entry) => entry.holder === holder)) return undefined
      return { validUntilMs: sentAtMs + client.getSessionTimeout() }
    } catch (error) {
      if (codeOf(error) === SESSION_EXPIRED) return undefined
      throw error
    }
  }

  async release({ name, holder }: Pick<LockRequest, 'name' | 'holder'>): Promise<boolean> {
    this.#asked.delete(holder)
    try {
      return await this.#remove(name, holder)
    } catch (error) {
      this.#leaving.set(holder, name)
      void this.#sweep()
      throw error
    }
  }

  async #remove(name: string, holder: string): Promise<boolean> {
    const { client } = await this.#connected()
    const mine = (await this.#queue(client, name)).filter((entry) => entry.holder === holder)
    let removed = false
    for (const { path } of mine) removed = (await removeAt(client, path)) || removed
    // The node of a name that nobody uses goes; it is made again, and czxids grow across names.
    client.remove(this.#pathOf(name), () => {})
    return removed
  }

  /** Until all is removed, or the session that they belong to is over and took them along. Never rejects. */
  async #sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    const session = this.#session
    while (this.#leaving.size > 0 && session !== undefined && this.#session === session && !session.over) {
      for (const [holder, name] of this.#leaving) {
        try {
          await this.#remove(name, holder)
          this.#leaving.delete(holder)
        } catch {
          // tried again below
        }
      }
      await this.clock.sleep(100)
    }
    if (this.#session !== session) this.#leaving.clear()
    this.#sweeping = false
  }

  watch({ holder }: LockRequest, wake: () => void): () => void {
    this.#waiters.set(holder, { wake, watching: undefined })
    return () => this.#waiters.delete(holder)
  }

  async list({ limit }: { readonly limit: number }): Promise<LockInfo[]> {
    const { client } = await this.#connected()
    const names = (await childrenOf(client, this.#root))
      .map((node) => decodeURIComponent(node.slice(2)))
      .sort()
    const infos: LockInfo[] = []
    for (const name of names) {
      if (infos.length >= limit) break
      const info = await this.show(name)
      if (info !== undefined) infos.push(info)
    }
    return infos
  }

  async show(name: string): Promise<LockInfo | undefined> {
    const { client } = await this.#connected()
    const nowMs = this.clock.now()
    const entries: (NodeEntry & LockEntryInfo)[] = []
    for (const entry of await this.#queue(client, name)) {
      const stat = await existsAt(client, entry.path)
      if (!stat) continue
      const ageMs = Math.max(0, nowMs - Number(stat.ctime.readBigInt64BE()))
      entries.push({ ...entry, token: stat.czxid.readBigInt64BE(), ageMs, leftMs: null })
    }
    return entries.length === 0 ? undefined : describeQueue(name, entries)
  }

  async expel(name: string): Promise<LockInfo | undefined> {
    const info = await this.show(name)
    const { client } = await this.#connected()
    const holders = new Set(info?.holders.map((entry) => entry.holder))
    for (const entry of await this.#queue(client, name)) {
      if (holders.has(entry.holder)) await removeAt(client, entry.path)
    }
    return info
  }

  async close(): Promise<void> {
    this.#session?.client.close()
    this.#session = undefined
  }

  /** The session that runs, or a new one, and its client with a bound on every answer. */
  async #connected(): Promise<{ session: Session; client: ZookeeperLike }> {
    if (this.#session === undefined || this.#session.over) this.#session = this.#connect()
    const session = this.#session
    await session.ready
    return { session, client: session.client }
  }

  #connect(): Session {
    const client = this.#open()
    const over = new AbortController()
    const connected = new Promise<void>((resolve) => client.on('connected', resolve))
    const late = this.clock.sleep(CONNECT_MS, over.signal).then(
      () => {
        throw new Error(`ZooKeeper was not connected within ${CONNECT_MS} ms`)
      },
      () => {},
    )
    const session: Session = {
      client,
      ready: Promise.race([connected, late]).finally(() => over.abort()),
      over: false,
    }
    session.ready.catch(() => {
      session.over = true
      client.close()
    })
    const end = (): void => {
      session.over = true
      client.close()
      this.#wakeAll()
    }
    giveUps.set(client, { clock: this.clock, end })
    client.on('expired', end)
    client.on('authenticationFailed', end)
    client.on('disconnected', () => this.#wakeAll())
    client.connect()
    return session
  }

  #wakeAll(): void {
    for (const waiter of this.#waiters.values()) {
      waiter.watching = undefined
      waiter.wake()
    }
  }

  /** `n-` because a node may not be called `.` or `..`. */
  #pathOf(name: string): string {
    return `${this.#root}/n-${encodeURIComponent(name)}`
  }

  async #create(client: ZookeeperLike, { name, holder, mode, limit }: LockRequest): Promise<void> {
    const path = `${this.#pathOf(name)}/${mode}_${Math.min(limit, LIMIT_MAX)}_${encodeURIComponent(holder)}_`
    for (;;) {
      try {
        await call<string>(client, (done) => client.create(path, Buffer.alloc(0), EPHEMERAL_SEQUENTIAL, done))
        return
      } catch (error) {
        if (codeOf(error) !== NO_NODE) throw error
        await call<string>(client, (done) => client.mkdirp(this.#pathOf(name), done))
      }
    }
  }

  async #queue(client: ZookeeperLike, name: string): Promise<NodeEntry[]> {
    const parent = this.#pathOf(name)
    return (await childrenOf(client, parent))
      .flatMap((node) => {
        const [, mode, limit, holder = '', sequence] = /^([a-z]+)_(\d+)_(.+)_(-?\d{10})$/.exec(node) ?? []
        if (sequence === undefined) return []
        return {
          path: `${parent}/${node}`,
          holder: decodeURIComponent(holder),
          mode: mode as LockMode,
          limit: Number(limit),
          sequence: Number(sequence),
        }
      })
      .sort((a, b) => a.sequence - b.sequence)
  }

  /** Asking whether it exists sets the watch in the same step, so its end cannot be missed. */
  async #watch(client: ZookeeperLike, holder: string, path: string): Promise<void> {
    const waiter = this.#waiters.get(holder)
    if (waiter === undefined || waiter.watching === path) return
    waiter.watching = path
    const changed = (): void => {
      if (waiter.watching === path) waiter.watching = undefined
      waiter.wake()
    }
    const stat = await call<ZookeeperStat | null>(client, (done) => client.exists(path, changed, done))
    if (!stat) changed()
  }
}

/** How the session of a client is given up. */
const giveUps = new WeakMap<ZookeeperLike, { readonly clock: Clock; readonly end: () => void }>()

/**
 * One question. A session that does not answer within its own timeout is given up for a new one through another server:
 * the driver does not notice a server that was cut off and would wait for ever.
 */
async function call<T>(
  client: ZookeeperLike,
  start: (done: (error: unknown, value: T) => void) => void,
): Promise<T> {
  const answer = new Promise<T>((resolve, reject) =>
    start((error, value) => (error ? reject(error) : resolve(value))),
  )
  const { clock = systemClock, end } = giveUps.get(client) ?? {}
  return within(clock, client.getSessionTimeout(), answer, () => {
    end?.()
    return new Error('ZooKeeper gave no answer within the time of the session')
  })
}

function existsAt(client: ZookeeperLike, path: string): Promise<ZookeeperStat | null> {
  return call(client, (done) => client.exists(path, done))
}

/** False when it was not there. */
async function removeAt(client: ZookeeperLike, path: string): Promise<boolean> {
  try {
    await call<void>(client, (done) => client.remove(path, done))
    return true
  } catch (error) {
    if (codeOf(error) === NO_NODE) return false
    throw error
  }
}

async function childrenOf(client: ZookeeperLike, path: string): Promise<string[]> {
  try {
    return await call<string[]>(client, (done) => client.getChildren(path, done))
  } catch (error) {
    if (codeOf(error) === NO_NODE) return []
    throw error
  }
}

function codeOf(error: unknown): number | undefined {
  return (error as { code?: number } | undefined)?.code
}
