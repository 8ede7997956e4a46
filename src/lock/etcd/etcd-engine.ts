import { createHash } from 'node:crypto'
import { type Clock, systemClock } from '../../core/clock.ts'
import { checkArguments, checkOptions, hasMethods, isDuration, isName, isObject } from '../../core/options.ts'
import { within } from '../../core/timer.ts'
import type { LockAnswer, LockEngine, LockEntryInfo, LockInfo, LockMode, LockRequest } from '../engine.ts'
import { describeQueue, holdsAt, LIMIT_MAX, predecessorOf, type QueueEntry } from '../queue.ts'
import type { EtcdLike, EtcdRangeResponse, EtcdWatcher } from './etcd-client.ts'

export interface EtcdLocksOptions {
  /** What the keys begin with. Default `holdfast/locks/`. */
  readonly prefix?: string
  /** Bound of one request; the next one goes to another node. Default 4 000. */
  readonly answerMs?: number
  readonly clock?: Clock
}

/** The server counts in whole seconds, and grants no less than one and a half election timeouts. */
const TTL_MIN_MS = 2_000
/** Leases that `list` asks about at the same time. */
const ASK_AT_ONCE = 100

/**
 * Locks in etcd: a place in the queue is a key under a lease, and its create revision is the token.
 *
 * What it survives: with three nodes the loss of one, and a partition on the side of the majority; no clock of ours or of
 * a node set forward ends a lease. `ttlMs` is rounded up to whole seconds and at least two.
 */
export function etcdLocks(client: EtcdLike, options: EtcdLocksOptions = {}): LockEngine {
  checkArguments(
    'etcdLocks',
    hasMethods('client', client, 'an etcd3 client', 'watch'),
    isObject('options', options),
  )
  const { prefix = 'holdfast/locks/', answerMs = 4_000, clock = systemClock } = options
  checkOptions(
    'etcdLocks',
    options,
    ['prefix', 'answerMs', 'clock'],
    [isName('prefix', prefix), isDuration('answerMs', answerMs)],
  )
  return new EtcdEngine(client, prefix, answerMs, clock)
}

interface Waiter {
  readonly wake: () => void
  watching: { readonly key: string; readonly watcher: EtcdWatcher } | undefined
}

interface KeyEntry extends QueueEntry {
  readonly key: string
  readonly token: bigint
  readonly arrivedMs: number
}

class EtcdEngine implements LockEngine {
  readonly name = 'etcd locks'
  readonly clock: Clock
  readonly #client: EtcdLike
  readonly #prefix: string
  readonly #answerMs: number
  readonly #waiters = new Map<string, Waiter>()
  /** Who has a lease, as far as is known, and for how long it was granted. */
  readonly #ttl = new Map<string, number>()

  constructor(client: EtcdLike, prefix: string, answerMs: number, clock: Clock) {
    this.#answerMs = answerMs
    this.#client = client
    this.#prefix = prefix
    this.clock = clock
  }

  ttlBounds() {
    return { minMs: TTL_MIN_MS, maxMs: 2_147_483_647 }
  }

  async ask(request: LockRequest, { wait }: { readonly wait: boolean }): Promise<LockAnswer> {
    const { name, holder } = request
    if (!wait && !this.#ttl.has(holder)) {
      const queue = (await this.#range(this.#keysOf(name))).entries
      if (!wouldHold(queue, request)) return { kind: 'refused' }
    }
    const sentAtMs = this.clock.monotonic()
    const known = this.#ttl.get(holder)
    const ttlMs = (known !== undefined && (await this.#keepAlive(holder))) || (await this.#grant(request))
    this.#ttl.set(holder, ttlMs)
    const { entries, revision } = await this.#join(request)
    const index = entries.findIndex((entry) => entry.holder === holder)
    const mine = entries[index]
    if (mine === undefined) {
      // The lease ended between the two calls.
      this.#ttl.delete(holder)
      return { kind: 'waiting', ahead: entries.length, lookInMs: 1 }
    }
    if (holdsAt(entries, index)) {
      return { kind: 'held', token: mine.token, ttlMs, validUntilMs: sentAtMs + ttlMs }
    }
    if (!wait) {
      await this.release(request)
      return { kind: 'refused' }
    }
    const before = entries[predecessorOf(entries, index) ?? 0]
    if (before !== undefined) this.#watch(holder, before.key, revision)
    return { kind: 'waiting', ahead: index, lookInMs: ttlMs }
  }

  async renew({ holder }: LockRequest): Promise<{ validUntilMs: number } | undefined> {
    const sentAtMs = this.clock.monotonic()
    const ttlMs = await this.#keepAlive(holder)
    return ttlMs === undefined ? undefined : { validUntilMs: sentAtMs + ttlMs }
  }

  /** Revoking the lease removes its key; the lease's number follows from the holder, so a lost answer hinders nothing. */
  async release({ holder }: Pick<LockRequest, 'name' | 'holder'>): Promise<boolean> {
    this.#ttl.delete(holder)
    try {
      await this.#client.leaseClient.leaseRevoke({ ID: this.#leaseOf(holder) }, this.#deadline())
      return true
    } catch (error) {
      if (isGone(error)) return false
      throw error
    }
  }

  watch({ holder }: LockRequest, wake: () => void): () => void {
    this.#waiters.set(holder, { wake, watching: undefined })
    return () => {
      this.#unwatch(this.#waiters.get(holder))
      this.#waiters.delete(holder)
    }
  }

  async list({ limit }: { readonly limit: number }): Promise<LockInfo[]> {
    const { entries } = await this.#range(this.#prefix)
    const byName = new Map<string, KeyEntry[]>()
    for (const entry of entries) {
      const name = decodeURIComponent(entry.key.slice(this.#prefix.length).split('/')[0] ?? '')
      byName.set(name, [...(byName.get(name) ?? []), entry])
    }
    const names = [...byName.keys()].sort().slice(0, limit)
    const left = await this.#left(names.flatMap((name) => byName.get(name) ?? []))
    return names.map((name) => this.#describe(name, byName.get(name) ?? [], left))
  }

  async show(name: string): Promise<LockInfo | undefined> {
    const { entries } = await this.#range(this.#keysOf(name))
    return entries.length === 0 ? undefined : this.#describe(name, entries, await this.#left(entries))
  }

  async expel(name: string): Promise<LockInfo | undefined> {
    const info = await this.show(name)
    for (const { holder } of info?.holders ?? []) {
      await this.#client.leaseClient
        .leaseRevoke({ ID: this.#leaseOf(holder) }, this.#deadline())
        .catch((error: unknown) => {
          if (!isGone(error)) throw error
        })
    }
    return info
  }

  async close(): Promise<void> {
    for (const waiter of this.#waiters.values()) this.#unwatch(waiter)
  }

  #keysOf(name: string): string {
    return `${this.#prefix}${encodeURIComponent(name)}/`
  }

  /** 62 bits of a digest: positive, and not 0. */
  #leaseOf(holder: string): string {
    const digest = createHash('sha256').update(`${this.#prefix}\0${holder}`).digest()
    return ((digest.readBigUInt64BE() >> 2n) | 1n).toString()
  }

  async #grant({ holder, ttlMs }: LockRequest): Promise<number> {
    const ID = this.#leaseOf(holder)
    const TTL = Math.ceil(ttlMs / 1_000)
    try {
      const granted = await this.#client.leaseClient.leaseGrant({ ID, TTL }, this.#deadline())
      return Number(granted.TTL) * 1_000
    } catch (error) {
      // An answer was lost: the lease is there.
      const kept = /already exists/i.test(String(error)) ? await this.#keepAlive(holder) : undefined
      if (kept === undefined) throw error
      return kept
    }
  }

  /** Undefined when the lease is gone. */
  async #keepAlive(holder: string): Promise<number | undefined> {
    const stream = await within(
      this.clock,
      this.#answerMs,
      this.#client.leaseClient.leaseKeepAlive(),
      noAnswer,
    )
    try {
      const answer = new Promise<{ TTL: string }>((resolve, reject) => {
        stream.on('data', resolve)
        stream.on('error', reject)
        stream.on('end', () => reject(new Error('the stream ended')))
      })
      stream.write({ ID: this.#leaseOf(holder) })
      const seconds = Number((await within(this.clock, this.#answerMs, answer, noAnswer)).TTL)
      return seconds > 0 ? seconds * 1_000 : undefined
    } finally {
      stream.end()
    }
  }

  /** Writes the key unless it is there, and reads the queue, in one transaction. */
  async #join({
    name,
    holder,
    mode,
    limit,
  }: LockRequest): Promise<{ entries: KeyEntry[]; revision: string }> {
    const prefix = this.#keysOf(name)
    const key = Buffer.from(prefix + encodeURIComponent(holder))
    const value = Buffer.from(JSON.stringify([holder, mode, Math.min(limit, LIMIT_MAX), this.clock.now()]))
    const read = { request_range: rangeOf(prefix) }
    const { header, responses } = await this.#client.kv.txn(
      {
        compare: [{ result: 'Equal', target: 'Create', key, create_revision: 0 }],
        success: [{ request_put: { key, value, lease: this.#leaseOf(holder) } }, read],
        failure: [read],
      },
      this.#deadline(),
    )
    return { entries: toEntries(responses.at(-1)?.response_range), revision: header.revision }
  }

  async #range(prefix: string): Promise<{ entries: KeyEntry[] }> {
    return { entries: toEntries(await this.#client.kv.range(rangeOf(prefix), this.#deadline())) }
  }

  /** From the revision after the one that was read, so that nothing is missed between reading and watching. */
  #watch(holder: string, key: string, revision: string): void {
    const waiter = this.#waiters.get(holder)
    if (waiter === undefined || waiter.watching?.key === key) return
    this.#unwatch(waiter)
    const watcher = this.#client
      .watch()
      .key(key)
      .startRevision((BigInt(revision) + 1n).toString())
      .watcher()
    waiter.watching = { key, watcher }
    for (const event of ['delete', 'error', 'disconnected', 'end']) watcher.on(event, () => waiter.wake())
  }

  #unwatch(waiter: Waiter | undefined): void {
    waiter?.watching?.watcher.cancel().catch(() => {})
    if (waiter !== undefined) waiter.watching = undefined
  }

  /** What is left of each entry's lease, by key. The server tells whole seconds rounded down; these are rounded up. */
  async #left(entries: readonly KeyEntry[]): Promise<Map<string, number>> {
    const left = new Map<string, number>()
    for (let from = 0; from < entries.length; from += ASK_AT_ONCE) {
      await Promise.all(
        entries.slice(from, from + ASK_AT_ONCE).map(async ({ key, holder }) => {
          const lease = await this.#client.leaseClient.leaseTimeToLive(
            { ID: this.#leaseOf(holder) },
            this.#deadline(),
          )
          const seconds = Math.min(Number(lease.TTL) + 1, Number(lease.grantedTTL))
          left.set(key, Math.max(0, seconds) * 1_000) // a lease that is gone has a TTL of -1
        }),
      )
    }
    return left
  }

  #describe(name: string, entries: readonly KeyEntry[], left: ReadonlyMap<string, number>): LockInfo {
    const nowMs = this.clock.now()
    return describeQueue(
      name,
      entries.map((entry): KeyEntry & LockEntryInfo => ({
        ...entry,
        ageMs: Math.max(0, nowMs - entry.arrivedMs),
        leftMs: left.get(entry.key) ?? null,
      })),
    )
  }

  /** For unary calls only: on a stream it would end the stream. */
  #deadline() {
    return { deadline: this.clock.now() + this.#answerMs }
  }
}

function noAnswer(): Error {
  return new Error('etcd gave no answer in time')
}

function isGone(error: unknown): boolean {
  return /lease not found|not found/i.test(String(error))
}

/** All keys with the prefix, which ends with a slash: up to the prefix with the next byte. */
function rangeOf(prefix: string): { key: Buffer; range_end: Buffer } {
  const end = Buffer.from(prefix)
  end[end.length - 1] = (end.at(-1) as number) + 1
  return { key: Buffer.from(prefix), range_end: end }
}

function toEntries(response: EtcdRangeResponse | undefined): KeyEntry[] {
  return (response?.kvs ?? [])
    .map(({ key, value, create_revision }) => {
      const [holder, mode, limit, arrivedMs] = JSON.parse(value.toString()) as [
        string,
        LockMode,
        number,
        number,
      ]
      return { key: key.toString(), holder, mode, limit, arrivedMs, token: BigInt(create_revision) }
    })
    .sort((a, b) => (a.token < b.token ? -1 : 1))
}

function wouldHold(queue: readonly QueueEntry[], request: LockRequest): boolean {
  return holdsAt([...queue, request], queue.length)
}
