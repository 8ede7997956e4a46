import { randomBytes } from 'node:crypto'
import { type Clock, systemClock } from '../../core/clock.ts'
import { checkArguments, checkOptions, hasMethods, isName, isObject } from '../../core/options.ts'
import type {
  Grant,
  LockAnswer,
  LockEngine,
  LockEntryInfo,
  LockInfo,
  LockMode,
  LockRequest,
} from '../engine.ts'
import { describeQueue, ENTRIES_MAX, LIMIT_MAX, type QueueEntry } from '../queue.ts'
import type { RedisLike, RedisSubscriberLike } from './redis-client.ts'
import { ASK, READ, REMOVE, RENEW } from './scripts.ts'

export interface RedisLocksOptions {
  /** What the keys and the channel begin with. Default `holdfast:`. */
  readonly prefix?: string
  readonly clock?: Clock
}

/** Redis's clock is read in whole milliseconds, once when the lease is written and once when it is judged. */
const ROUNDING_MS = 2
/** Queues that `list` reads with one question under way for each. */
const READ_AT_ONCE = 100

/**
 * Locks in one Redis instance: fast, and as durable as its memory. `acquire` is one script call and so is `release`.
 *
 * What it survives: a restart with `appendfsync always`. On failover to a replica the last grants may be missing, and two
 * holders can then both believe that they hold; tokens of the second may repeat those of the first. What refuses the
 * stale one is the guard, by token and holder. Leases are judged by Redis's wall clock: set forward, they end early.
 */
export function redisLocks(client: RedisLike, options: RedisLocksOptions = {}): LockEngine {
  checkArguments(
    'redisLocks',
    hasMethods('client', client, 'an ioredis client', 'eval', 'evalsha', 'duplicate'),
    isObject('options', options),
  )
  const { prefix = 'holdfast:', clock = systemClock } = options
  checkOptions('redisLocks', options, ['prefix', 'clock'], [isName('prefix', prefix)])
  return new RedisEngine(client, prefix, clock)
}

interface Waiter {
  readonly ttlMs: number
  readonly wake: (grant?: Grant) => void
  /** One moment on both clocks: the local one is from before the question, so not after it. */
  seen: { readonly localMs: number; readonly redisMs: number } | undefined
}

/** A whole number as the client gives it: text with ioredis's option `stringNumbers`. */
type Whole = number | string
/** How many were removed, and the grants of who listens on this process's channel. */
type Removed = Whole | [Whole, ...string[]]

class RedisEngine implements LockEngine {
  readonly name = 'Redis locks'
  readonly clock: Clock
  readonly #client: RedisLike
  readonly #prefix: string
  readonly #tokenKey: string
  /** Where grants of others are published: this process's channel, which needs none, and what all begin with. */
  readonly #told: string
  readonly #channels: string
  /** Where this engine listens: grants go to the process that waits, not to all. */
  readonly #channel = randomBytes(9).toString('base64url')
  readonly #waiters = new Map<string, Waiter>()
  #subscriber: RedisSubscriberLike | undefined
  #subscribing: Promise<void> | undefined

  constructor(client: RedisLike, prefix: string, clock: Clock) {
    this.#client = client
    this.#prefix = `${prefix}lock:`
    this.#tokenKey = `${prefix}token`
    this.#channels = `${prefix}wake:`
    this.#told = `${this.#channel} ${this.#channels}`
    this.clock = clock
  }

  ttlBounds() {
    // Below this, the rounding of the clock is no longer small beside the lease.
    return { minMs: 50, maxMs: 2_147_483_647 }
  }

  async ask(request: LockRequest, { wait }: { readonly wait: boolean }): Promise<LockAnswer> {
    const { name, holder, mode, ttlMs } = request
    const sentAtMs = this.clock.monotonic()
    const permits = Math.min(request.limit, LIMIT_MAX)
    const entry = ` ${mode} ${permits} ${ttlMs} - ${this.#channel} ${wire(holder)}`
    const args = [this.#prefix + name, this.#tokenKey, entry, ttlMs]
    if (!wait) args.push('try')
    const answer = (await ASK.run(this.#client, args)) as
      | Whole
      | [LockAnswer['kind'], Whole, string, Whole, Whole]
    if (!Array.isArray(answer)) {
      return { kind: 'held', token: BigInt(answer), ttlMs, validUntilMs: sentAtMs + ttlMs - ROUNDING_MS }
    }
    const [kind, ahead, token, nowMs, firstEndsMs] = answer
    switch (kind) {
      case 'held':
        return { kind, token: BigInt(token), ttlMs, validUntilMs: sentAtMs + ttlMs - ROUNDING_MS }
      case 'waiting': {
        const waiter = this.#waiters.get(holder)
        if (waiter !== undefined) waiter.seen = { localMs: sentAtMs, redisMs: Number(nowMs) }
        // What was released before the subscription stood is found by asking at once.
        const lookInMs = (await this.#subscribe()) ? 0 : Number(firstEndsMs) - Number(nowMs) + 1
        return { kind, ahead: Number(ahead), lookInMs }
      }
      case 'full':
        return { kind, entriesMax: ENTRIES_MAX }
      default:
        return { kind: 'refused' }
    }
  }

  async renew({ name, holder, ttlMs }: LockRequest): Promise<{ validUntilMs: number } | undefined> {
    const sentAtMs = this.clock.monotonic()
    const renewed = await RENEW.run(this.#client, [this.#prefix + name, wire(holder), ttlMs])
    return Number(renewed) === 1 ? { validUntilMs: sentAtMs + ttlMs - ROUNDING_MS } : undefined
  }

  async release({ name, holder }: Pick<LockRequest, 'name' | 'holder'>): Promise<boolean> {
    return (await this.#remove(name, [holder])) === 1
  }

  watch({ holder, ttlMs }: LockRequest, wake: (grant?: Grant) => void): () => void {
    this.#waiters.set(holder, { ttlMs, wake, seen: undefined })
    return () => this.#waiters.delete(holder)
  }

  async list({ limit }: { readonly limit: number }): Promise<LockInfo[]> {
    const keys = new Set<string>()
    // The client puts its own prefix before keys, but neither before a pattern nor away from what is found.
    const begin = (this.#client.options?.keyPrefix ?? '') + this.#prefix
    const pattern = `${begin.replaceAll(/[*?[\]\\]/g, '\\$&')}*`
    for (let cursor = ''; cursor !== '0'; ) {
      const [next, found] = await this.#client.scan(cursor || '0', 'MATCH', pattern, 'COUNT', 1_000)
      for (const key of found) keys.add(key)
      cursor = next
    }
    const names = [...keys].map((key) => key.slice(begin.length)).sort()
    const infos: LockInfo[] = []
    for (let from = 0; from < names.length && infos.length < limit; from += READ_AT_ONCE) {
      infos.push(...(await this.#read(names.slice(from, from + READ_AT_ONCE))))
    }
    return infos.slice(0, limit)
  }

  async show(name: string): Promise<LockInfo | undefined> {
    const [info] = await this.#read([name])
    return info
  }

  async expel(name: string): Promise<LockInfo | undefined> {
    const info = await this.show(name)
    if (info === undefined) return undefined
    await this.#remove(
      name,
      info.holders.map((entry) => entry.holder),
    )
    return info
  }

  async close(): Promise<void> {
    this.#subscriber?.disconnect()
    this.#subscriber = undefined
  }

  #remove(name: string, holders: readonly string[]): Promise<number> {
    const args = [this.#prefix + name, this.#told, ...holders.map(wire)]
    return REMOVE.run(this.#client, args).then(
      (answer) => this.#removed(answer as Removed),
      (error) => {
        this.#wakeAll() // the answer that was lost may have been somebody's grant
        throw error
      },
    )
  }

  #removed(answer: Removed): number {
    const [count, ...grants] = Array.isArray(answer) ? answer : [answer]
    const removed = Number(count)
    for (const grant of grants) this.#hear(grant)
    if (removed === 0) this.#wakeAll() // perhaps the driver sent it again, and the first answer is the one that was lost
    return removed
  }

  async #read(names: readonly string[]): Promise<LockInfo[]> {
    const read = await Promise.all(names.map((name) => READ.run(this.#client, [this.#prefix + name])))
    return names.flatMap((name, i) => {
      const [nowMs, ...texts] = read[i] as [Whole, ...string[]]
      const info = describeQueue(
        name,
        texts.flatMap((text) => toInfo(text, Number(nowMs)) ?? []),
      )
      return info.holders.length > 0 ? [info] : []
    })
  }

  #wakeAll(): void {
    for (const waiter of this.#waiters.values()) waiter.wake()
  }

  /** True when the subscription was made just now. Without one, waiters find out by asking. */
  async #subscribe(): Promise<boolean> {
    if (this.#subscribing !== undefined) {
      await this.#subscribing
      return false
    }
    const subscriber = this.#client.duplicate()
    this.#subscriber = subscriber
    subscriber.on('error', () => {})
    subscriber.on('message', (_channel: string, text: string) => this.#hear(text))
    // After a connection was lost, everybody looks: what was said meanwhile was not heard.
    subscriber.on('ready', () => this.#wakeAll())
    this.#subscribing = subscriber.subscribe(this.#channels + this.#channel).then(
      () => {},
      () => {
        subscriber.disconnect()
        this.#subscribing = undefined
      },
    )
    await this.#subscribing
    return true
  }

  /**
   * The text is the grant. When it was made is known on Redis's clock only; the waiter's last answer ties that to the
   * local one, so that a message which was long on its way is not taken for a fresh lease.
   */
  #hear(text: string): void {
    const heardAtMs = this.clock.monotonic()
    const [, redisMs, token, holder] = /^(\d+) (\d+) (.*)$/s.exec(text) as string[]
    const waiter = this.#waiters.get(unwired(holder as string))
    if (waiter === undefined) return
    const { seen, ttlMs, wake } = waiter
    if (seen === undefined) {
      wake()
      return
    }
    const madeAtMs = Math.min(heardAtMs, seen.localMs + (Number(redisMs) - seen.redisMs))
    wake({ token: BigInt(token as string), ttlMs, validUntilMs: madeAtMs + ttlMs - ROUNDING_MS })
  }
}

/** A holder as it stands at the end of an entry: without spaces. */
function wire(holder: string): string {
  return holder.includes(' ') || holder.includes('%')
    ? holder.replaceAll('%', '%25').replaceAll(' ', '%20')
    : holder
}

function unwired(text: string): string {
  return text.replaceAll('%20', ' ').replaceAll('%25', '%')
}

/** An entry of a queue, in the form that scripts.ts gives; undefined when its lease has ended. */
function toInfo(text: string, nowMs: number): (QueueEntry & LockEntryInfo) | undefined {
  const [, until, token, mode, limit, , arrived, , holder] =
    /^(\d+) (\d+) ([a-z]+) (\d+) (\d+) (\d+) (\S+) (.*)$/s.exec(text) as string[]
  const leftMs = Number(until) - nowMs
  if (leftMs <= 0) return undefined
  return {
    holder: unwired(holder as string),
    mode: mode as LockMode,
    limit: Number(limit),
    token: BigInt(token as string),
    ageMs: Math.max(0, nowMs - Number(arrived)),
    leftMs,
  }
}
