import { UnsupportedError } from '../../core/errors.ts'
import { checkArguments, checkOptions, isFunction, isObject } from '../../core/options.ts'
import { isStore } from '../../store/arguments.ts'
import { channelOf, Listener, type OpenListenClient } from '../../store/listener.ts'
import { requireRevision } from '../../store/migrations.ts'
import { type Sql, sql } from '../../store/sql.ts'
import type { Store } from '../../store/store.ts'
import type {
  Grant,
  LockAnswer,
  LockEngine,
  LockEntryInfo,
  LockInfo,
  LockMode,
  LockRequest,
} from '../engine.ts'
import { describeQueue, ENTRIES_MAX, holdsAt, type QueueEntry } from '../queue.ts'
import {
  askStatement,
  giveStatement,
  readStatement,
  releaseStatement,
  removeStatement,
  renewStatement,
  takeStatement,
} from './statements.ts'
import { lockTables } from './tables.ts'
import { wakersOf } from './wakers.ts'

export interface StoreLocksOptions {
  /**
   * PostgreSQL: opens a client of its own to LISTEN on, so that waiters hear of releases by other processes at once. All
   * processes should give it or none: who gives it also notifies. Without it, waiters of one process wake each other, and
   * those of other processes look every 200 ms. Not through a transaction-pooling proxy.
   */
  readonly listen?: OpenListenClient
}

/** The store's clock is read in whole milliseconds, once when the lease is written and once when it is judged. */
const ROUNDING_MS = 2
/** How often a waiter looks whose predecessor is in another process, when nobody tells it. */
const LOOK_MS = 200

/**
 * Locks in the store: durable, and safe behind transaction-pooling proxies, since nothing is bound to a connection.
 *
 * `acquire` of a free lock is one statement and so is its `release`, each committed by itself. A lock survives what its row survives.
 */
export function storeLocks(store: Store, options: StoreLocksOptions = {}): LockEngine {
  checkArguments('storeLocks', isStore(store), isObject('options', options))
  checkOptions(
    'storeLocks',
    options,
    ['listen'],
    [options.listen === undefined || isFunction('listen', options.listen)],
  )
  if (options.listen !== undefined && store.dialect.notify === undefined) {
    throw new UnsupportedError(
      `storeLocks({ listen }) needs LISTEN/NOTIFY, which ${store.dialect.name} does not have`,
    )
  }
  return new StoreEngine(store, options.listen)
}

interface StoredEntry {
  readonly h: string
  readonly m: LockMode
  readonly l: number
  readonly t: string
  readonly u: number
  readonly a: number
}

class StoreEngine implements LockEngine {
  readonly name: string
  readonly #store: Store
  readonly #listener: Listener | undefined
  readonly #channel: string
  /** Who was seen beside others, so that the statements for who is alone would be in vain. */
  readonly #beside = new Set<string>()

  constructor(store: Store, listen: OpenListenClient | undefined) {
    this.name = `${store.dialect.name} locks`
    this.#store = store
    this.#channel = channelOf(store, 'lock', 'wake')
    const { clock, dialect } = store
    this.#listener =
      listen &&
      new Listener({
        clock,
        open: listen,
        listen: dialect.notify?.listen(this.#channel) ?? '',
        onHeard: (name) => (name === undefined ? wakersOf(store).wakeAll() : wakersOf(store).wake(name)),
      })
  }

  get clock() {
    return this.#store.clock
  }

  ttlBounds() {
    // Below this, the rounding of the store's clock is no longer small beside the lease.
    return { minMs: 50, maxMs: 2_147_483_647 }
  }

  async ask(request: LockRequest, { wait }: { readonly wait: boolean }): Promise<LockAnswer> {
    const sentAtMs = this.clock.monotonic()
    if (!this.#beside.has(request.holder)) {
      const [taken] = await this.#once<{ token: string }>(takeStatement(this.#store, request))
      if (taken !== undefined) {
        const { ttlMs } = request
        return {
          kind: 'held',
          token: BigInt(taken.token),
          ttlMs,
          validUntilMs: sentAtMs + ttlMs - ROUNDING_MS,
        }
      }
    }
    const [row] = await this.#once<{ queue: string; changed_ms: string | number }>(
      askStatement(this.#store, request, wait),
    )
    const stored = JSON.parse(row?.queue ?? '[]') as StoredEntry[]
    const queue = stored.map(toEntry)
    const index = queue.findIndex((entry) => entry.holder === request.holder)
    if (queue.length > 1) this.#beside.add(request.holder)
    if (index < 0) return wait ? { kind: 'full', entriesMax: ENTRIES_MAX } : { kind: 'refused' }
    if (holdsAt(queue, index))
      return { kind: 'held', ...grantOf(stored[index] as StoredEntry, request, sentAtMs) }
    const endsMs = Math.min(...stored.slice(0, index).map((entry) => entry.u))
    const lookInMs = Math.max(1, endsMs - Number(row?.changed_ms) + 1)
    return {
      kind: 'waiting',
      ahead: index,
      lookInMs: this.#listener?.working ? lookInMs : Math.min(lookInMs, LOOK_MS),
    }
  }

  async renew(request: LockRequest): Promise<{ validUntilMs: number } | undefined> {
    const sentAtMs = this.clock.monotonic()
    const changed = await this.#store.transaction((tx) => tx.execute(renewStatement(this.#store, request)), {
      isolation: 'read-committed',
      urgent: true,
      timeoutMs: Math.max(50, request.ttlMs / 3),
    })
    return changed === 1 ? { validUntilMs: sentAtMs + request.ttlMs - ROUNDING_MS } : undefined
  }

  async release(request: Pick<LockRequest, 'name' | 'holder'>): Promise<boolean> {
    if (!this.#beside.delete(request.holder)) {
      const given = await this.#once(giveStatement(this.#store, request))
      if (given.length === 1) return true
    }
    const rows = await this.#once<{ queue: string }>(releaseStatement(this.#store, request))
    this.#tell(request.name, rows[0]?.queue)
    return rows.length === 1
  }

  watch(request: LockRequest, wake: () => void): () => void {
    this.#listener?.start()
    return wakersOf(this.#store).add(request.name, request.holder, wake)
  }

  async list({ limit }: { readonly limit: number }): Promise<LockInfo[]> {
    return this.#read(sql`1 = 1`, limit)
  }

  async show(name: string): Promise<LockInfo | undefined> {
    const [info] = await this.#read(sql`name = ${name}`, 1)
    return info
  }

  async expel(name: string): Promise<LockInfo | undefined> {
    const info = await this.show(name)
    if (info === undefined || info.holders.length === 0) return info
    const holders = info.holders.map((entry) => entry.holder)
    const [row] = await this.#once<{ queue: string }>(removeStatement(this.#store, name, holders))
    this.#tell(name, row?.queue)
    return info
  }

  async close(): Promise<void> {
    await this.#listener?.stop()
  }

  async #read(where: Sql, limit: number): Promise<LockInfo[]> {
    const rows = await this.#ask(
      this.#store.read<{ name: string; queue: string; now_ms: string | number }>(
        readStatement(this.#store, where, limit),
      ),
    )
    return rows
      .map((row) => {
        const nowMs = Number(row.now_ms)
        const running = (JSON.parse(row.queue) as StoredEntry[]).filter((entry) => entry.u > nowMs)
        return describeQueue(
          row.name,
          running.map((entry) => toInfo(entry, nowMs)),
        )
      })
      .filter((info) => info.holders.length > 0)
  }

  /**
   * One statement, committed by itself. On PostgreSQL `read` sends it without BEGIN and COMMIT around it, which is one
   * round trip instead of two.
   */
  #once<R extends object>(statement: Sql): Promise<R[]> {
    const store = this.#store
    return this.#ask(store.dialect.singleWriter ? store.query<R>(statement) : store.read<R>(statement))
  }

  /** Where the tables are of another revision, the database refuses our statements: says which, and what to do. */
  async #ask<R>(sent: Promise<R[]>): Promise<R[]> {
    try {
      return await sent
    } catch (error) {
      if ((error as { code?: string }).code !== 'STATEMENT_FAILED') throw error
      const unfit = await this.#store.transaction((tx) => requireRevision(tx, lockTables)).catch((e) => e)
      throw unfit?.code === 'SCHEMA_REVISION' ? unfit : error
    }
  }

  /** Wakes those whose turn it may be now. */
  #tell(name: string, queue: string | undefined): void {
    if (queue === undefined || queue === '[]') return
    wakersOf(this.#store).wake(name, turns(JSON.parse(queue) as StoredEntry[]))
    const { notify } = this.#store.dialect
    if (this.#listener === undefined || notify === undefined) return
    // After the commit and outside of it: a NOTIFY inside takes a lock of the whole database. A lost one is found by asking.
    this.#store.read(notify.send(this.#channel, name)).catch(() => {})
  }
}

/** Who holds by the rule, whether it knows or not, and the first whose predecessors may have ended. */
function turns(stored: readonly StoredEntry[]): string[] {
  const queue = stored.map(toEntry)
  const holders = queue.filter((_, i) => holdsAt(queue, i))
  return [...holders, ...queue.slice(holders.length, holders.length + 1)].map((entry) => entry.holder)
}

function toEntry({ h, m, l }: StoredEntry): QueueEntry {
  return { holder: h, mode: m, limit: l }
}

function toInfo(entry: StoredEntry, nowMs: number): QueueEntry & LockEntryInfo {
  return {
    ...toEntry(entry),
    token: BigInt(entry.t),
    ageMs: Math.max(0, nowMs - entry.a),
    leftMs: Math.max(0, entry.u - nowMs),
  }
}

function grantOf(entry: StoredEntry, { ttlMs }: LockRequest, sentAtMs: number): Grant {
  return { token: BigInt(entry.t), ttlMs, validUntilMs: sentAtMs + ttlMs - ROUNDING_MS }
}
