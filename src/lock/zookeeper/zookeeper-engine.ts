import { type Clock, systemClock } from '../../core/clock.ts'
import { ConfigError } from '../../core/errors.ts'
import { checkArguments, checkOptions, isFunction, isName, isObject, show } from '../../core/options.ts'
import type { LockAnswer, LockEngine, LockEntryInfo, LockInfo, LockRequest } from '../engine.ts'
import { describeQueue, holdsAt, predecessorOf } from '../queue.ts'
import { entryStart, type NodeEntry, nameOf, nodeOf, toEntries } from './nodes.ts'
import type { ZookeeperLike } from './zookeeper-client.ts'
import { isExpired, ZookeeperSession } from './zookeeper-session.ts'

export interface ZookeeperLocksOptions {
  /** The node below which the locks stand. Default `/holdfast/locks`. */
  readonly root?: string
  readonly clock?: Clock
}

/**
 * Locks in ZooKeeper: a place in the queue is an ephemeral sequential node, and its czxid is the token.
 *
 * What it survives: with three nodes the loss of one, and a partition on the side of the majority. The lease is the
 * session's: `ttlMs` below the session's timeout is refused, and what is granted is that timeout. `open` makes a client; it
 * is called again when the session has expired. The engine connects and closes what it gives.
 */
export function zookeeperLocks(open: () => ZookeeperLike, options: ZookeeperLocksOptions = {}): LockEngine {
  checkArguments(
    'zookeeperLocks',
    isFunction('the first argument, which opens a client,', open),
    isObject('options', options),
  )
  const { root = '/holdfast/locks', clock = systemClock } = options
  checkOptions(
    'zookeeperLocks',
    options,
    ['root', 'clock'],
    [
      isName('root', root),
      (typeof root === 'string' && /^(\/[^/]+)+$/.test(root)) ||
        `root must be a path like /holdfast/locks, got ${show(root)}`,
    ],
  )
  return new ZookeeperEngine(open, root, clock)
}

interface Waiter {
  readonly wake: () => void
  watching: string | undefined
}

class ZookeeperEngine implements LockEngine {
  readonly name = 'ZooKeeper locks'
  readonly clock: Clock
  readonly #open: () => ZookeeperLike
  readonly #root: string
  readonly #waiters = new Map<string, Waiter>()
  /** The session in which each holder asked. A node of an earlier session may end at any moment, so it counts for nothing. */
  readonly #asked = new Map<string, ZookeeperSession>()
  /** What could not be removed when it was released: its node lives as long as the session, so this must not be left. */
  readonly #leaving = new Map<string, string>()
  #sweeping = false
  #session: ZookeeperSession | undefined
  #closed = false

  constructor(open: () => ZookeeperLike, root: string, clock: Clock) {
    this.#open = open
    this.#root = root
    this.clock = clock
  }

  ttlBounds() {
    return { minMs: this.#session?.timeoutMs ?? 1, maxMs: 2_147_483_647 }
  }

  async ask(request: LockRequest, { wait }: { readonly wait: boolean }): Promise<LockAnswer> {
    const { name, holder } = request
    const session = await this.#connected()
    const ttlMs = session.timeoutMs
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
      const queue = await this.#queue(session, name)
      if (!holdsAt([...queue, request], queue.length)) {
        this.#asked.delete(holder)
        return { kind: 'refused' }
      }
    }
    let queue = first ? [] : await this.#queue(session, name)
    if (!queue.some((entry) => entry.holder === holder)) {
      await session.createNumbered(nodeOf(this.#root, name), entryStart(request))
      // Sent at last after a connection was lost, when whoever asked had already given up.
      if (!this.#asked.has(holder)) {
        await this.release(request)
        return { kind: 'waiting', ahead: 0, lookInMs: ttlMs }
      }
      queue = await this.#queue(session, name)
    }
    const index = queue.findIndex((entry) => entry.holder === holder)
    const mine = queue[index]
    const sentAtMs = this.clock.monotonic()
    const stat = mine && (await session.stat(mine.path))
    if (mine === undefined || !stat) return { kind: 'waiting', ahead: queue.length, lookInMs: 1 }
    if (holdsAt(queue, index)) {
      return { kind: 'held', token: stat.czxid.readBigInt64BE(), ttlMs, validUntilMs: sentAtMs + ttlMs }
    }
    if (!wait) {
      await this.release(request)
      return { kind: 'refused' }
    }
    const ahead = queue[predecessorOf(queue, index) ?? 0]
    if (ahead !== undefined) await this.#watch(session, holder, ahead.path)
    return { kind: 'waiting', ahead: index, lookInMs: ttlMs }
  }

  /** A question to the server also renews the session, if it still runs. */
  async renew({ name, holder }: LockRequest): Promise<{ validUntilMs: number } | undefined> {
    const sentAtMs = this.clock.monotonic()
    try {
      const session = await this.#connected()
      if (this.#asked.get(holder) !== session) return undefined
      const queue = await this.#queue(session, name)
      if (!queue.some((entry) => entry.holder === holder)) return undefined
      return { validUntilMs: sentAtMs + session.timeoutMs }
    } catch (error) {
      if (isExpired(error)) return undefined
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
    const session = await this.#connected()
    const mine = (await this.#queue(session, name)).filter((entry) => entry.holder === holder)
    let removed = false
    for (const { path } of mine) removed = (await session.remove(path)) || removed
    // The node of a name that nobody uses goes; it is made again, and czxids grow across names.
    session.removeIfEmpty(nodeOf(this.#root, name))
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
    const session = await this.#connected()
    const names = (await session.children(this.#root)).map(nameOf).sort()
    const infos: LockInfo[] = []
    for (const name of names) {
      if (infos.length >= limit) break
      const info = await this.show(name)
      if (info !== undefined) infos.push(info)
    }
    return infos
  }

  async show(name: string): Promise<LockInfo | undefined> {
    const session = await this.#connected()
    const nowMs = this.clock.now()
    const entries: (NodeEntry & LockEntryInfo)[] = []
    for (const entry of await this.#queue(session, name)) {
      const stat = await session.stat(entry.path)
      if (!stat) continue
      const ageMs = Math.max(0, nowMs - Number(stat.ctime.readBigInt64BE()))
      // ZooKeeper does not say when it last heard of a session.
      entries.push({ ...entry, token: stat.czxid.readBigInt64BE(), ageMs, leftMs: null })
    }
    return entries.length === 0 ? undefined : describeQueue(name, entries)
  }

  async expel(name: string): Promise<LockInfo | undefined> {
    const info = await this.show(name)
    const session = await this.#connected()
    const holders = new Set(info?.holders.map((entry) => entry.holder))
    for (const entry of await this.#queue(session, name)) {
      if (holders.has(entry.holder)) await session.remove(entry.path)
    }
    return info
  }

  async close(): Promise<void> {
    this.#closed = true // who asks again, also to take something back, is not to connect anew
    this.#session?.close()
    this.#session = undefined
  }

  /** The session that runs, or a new one. */
  async #connected(): Promise<ZookeeperSession> {
    if (this.#closed) throw new Error('the ZooKeeper locks were closed')
    if (this.#session === undefined || this.#session.over) {
      this.#session = new ZookeeperSession({
        client: this.#open(),
        clock: this.clock,
        onInterrupted: () => this.#wakeAll(),
      })
    }
    const session = this.#session
    await session.ready
    return session
  }

  #wakeAll(): void {
    for (const waiter of this.#waiters.values()) {
      waiter.watching = undefined
      waiter.wake()
    }
  }

  async #queue(session: ZookeeperSession, name: string): Promise<NodeEntry[]> {
    const parent = nodeOf(this.#root, name)
    return toEntries(parent, await session.children(parent))
  }

  /** Asking whether it exists sets the watch in the same step, so its end cannot be missed. */
  async #watch(session: ZookeeperSession, holder: string, path: string): Promise<void> {
    const waiter = this.#waiters.get(holder)
    if (waiter === undefined || waiter.watching === path) return
    waiter.watching = path
    const changed = (): void => {
      if (waiter.watching === path) waiter.watching = undefined
      waiter.wake()
    }
    if (!(await session.stat(path, changed))) changed()
  }
}
