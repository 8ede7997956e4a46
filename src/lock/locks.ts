import { isHoldfastError, type Outcome } from '../core/errors.ts'
import { type Log, silentLog } from '../core/log.ts'
import {
  type Check,
  checkArguments,
  checkOptions,
  hasMethods,
  isCount,
  isDuration,
  isDurationOrZero,
  isName,
  isObject,
  optionsOf,
  show,
} from '../core/options.ts'
import { within } from '../core/timer.ts'
import { uniqueOwner } from '../lease/owner.ts'
import { isStore } from '../store/arguments.ts'
import type { Store } from '../store/store.ts'
import type { LockEngine, LockInfo, LockMode, LockRequest } from './engine.ts'
import { LockEngineError, LockNotAcquiredError } from './errors.ts'
import type { ExclusiveLock, HeldLock, LockSet, SemaphorePermit, SharedLock } from './held-lock.ts'
import { LockKeeper } from './keeper.ts'
import { toLockSet } from './lock-set.ts'
import { storeLocks } from './store/store-engine.ts'
import { type Taking, take } from './take.ts'

export interface LocksOptions {
  /** What holders' names begin with; unique per process start. Default: `uniqueOwner()`. */
  readonly owner?: string
  readonly log?: Log
}

export interface TryAcquireOptions {
  /** How long a killed holder keeps the lock. A living one renews it. Default 10 000. */
  readonly ttlMs?: number
  readonly signal?: AbortSignal
}

export interface AcquireLockOptions extends TryAcquireOptions {
  /** How long to wait for the lock, in the order of arrival. Default 30 000. */
  readonly waitMs?: number
}

export interface SemaphoreOptions extends AcquireLockOptions {
  /** How many may hold at once; the same number everywhere for one name. */
  readonly permits: number
}

/**
 * Locks of many processes, under one engine.
 *
 * Guarantee: as far as the engine's documentation goes, an exclusive lock has one holder at a time, and each holder a
 * higher token than those before. That alone does not stop a holder which was paused beyond its lease: `fence(tx, lock)`
 * in the transaction that writes does. First come, first served. A throw releases at once where the lock is held by
 * `await using`; a killed holder's lock is free within its `ttlMs`.
 */
export interface Locks extends AsyncDisposable {
  readonly engine: LockEngine
  /**
   * Waits for the exclusive lock. Several names are acquired in ascending order, so that no two can wait for each other.
   * @throws LockNotAcquiredError, LockEngineError, ConfigError; the signal's reason when it fired before anything was held
   */
  acquire(name: string, options?: AcquireLockOptions): Promise<ExclusiveLock>
  acquire(names: readonly string[], options?: AcquireLockOptions): Promise<LockSet>
  /** The exclusive lock if it is free now and nobody waits for it. */
  tryAcquire(name: string, options?: TryAcquireOptions): Promise<ExclusiveLock | undefined>
  /** Holds beside other shared holders; an exclusive request that waits goes before later shared ones. */
  acquireShared(name: string, options?: AcquireLockOptions): Promise<SharedLock>
  tryAcquireShared(name: string, options?: TryAcquireOptions): Promise<SharedLock | undefined>
  acquirePermit(name: string, options: SemaphoreOptions): Promise<SemaphorePermit>
  tryAcquirePermit(
    name: string,
    options: Omit<SemaphoreOptions, 'waitMs'>,
  ): Promise<SemaphorePermit | undefined>
  /**
   * What is held or waited for by anyone, ascending by name; at most `limit`, 1 000 unless told. This, `show` and
   * `forceRelease` take ten seconds at most.
   * @throws LockEngineError
   */
  list(options?: { readonly limit?: number }): Promise<LockInfo[]>
  show(name: string): Promise<LockInfo | undefined>
  /**
   * Takes the lock away from those who hold it. Their `signal` fires at the next renewal; until then only the guard stops them.
   * @throws LockEngineError, outcome `unknown`
   */
  forceRelease(name: string): Promise<LockInfo | undefined>
  /** Releases all that is held here and ends what the engine opened. */
  close(): Promise<void>
}

/** @throws ConfigError */
export function createLocks(engine: LockEngine | Store, options: LocksOptions = {}): Locks {
  checkArguments('createLocks', isEngine(engine), isObject('options', options))
  const { owner = uniqueOwner(), log = silentLog } = options
  checkOptions('createLocks', options, ['owner', 'log'], [isName('owner', owner, 150)])
  return new LocksOn('ask' in engine ? engine : storeLocks(engine), owner, log)
}

function isEngine(engine: unknown): Check {
  return (
    hasMethods('', engine, '', 'ask', 'release') === true ||
    isStore(engine) === true ||
    `the first argument must be a store, or an engine as redisLocks, etcdLocks and zookeeperLocks make, got ${show(engine)}`
  )
}

const DEFAULT_TTL_MS = 10_000
const DEFAULT_WAIT_MS = 30_000
/** The longest that `list`, `show` and `forceRelease` take. */
const ADMINISTER_MS = 10_000

class LocksOn implements Locks {
  readonly engine: LockEngine
  readonly #owner: string
  readonly #keeper: LockKeeper
  readonly #taking: Taking
  #count = 0

  constructor(engine: LockEngine, owner: string, log: Log) {
    this.engine = engine
    this.#owner = owner
    this.#keeper = new LockKeeper(engine, log)
    this.#taking = { engine, keeper: this.#keeper, log }
  }

  acquire(name: string, options?: AcquireLockOptions): Promise<ExclusiveLock>
  acquire(names: readonly string[], options?: AcquireLockOptions): Promise<LockSet>
  acquire(
    name: string | readonly string[],
    options: AcquireLockOptions = {},
  ): Promise<ExclusiveLock | LockSet> {
    return typeof name === 'object' && Array.isArray(name)
      ? this.#acquireAll(name, options)
      : (this.#acquire(name as string, 'exclusive', 1, options) as Promise<ExclusiveLock>)
  }

  async tryAcquire(name: string, options: TryAcquireOptions = {}): Promise<ExclusiveLock | undefined> {
    return (await this.#try(name, 'exclusive', 1, options)) as ExclusiveLock | undefined
  }

  async acquireShared(name: string, options: AcquireLockOptions = {}): Promise<SharedLock> {
    return (await this.#acquire(name, 'shared', Number.POSITIVE_INFINITY, options)) as SharedLock
  }

  async tryAcquireShared(name: string, options: TryAcquireOptions = {}): Promise<SharedLock | undefined> {
    return (await this.#try(name, 'shared', Number.POSITIVE_INFINITY, options)) as SharedLock | undefined
  }

  async acquirePermit(name: string, options: SemaphoreOptions): Promise<SemaphorePermit> {
    const { permits, ...rest } = optionsOf('acquirePermit', options)
    checkOptions('acquirePermit', { permits }, ['permits'], [isCount('permits', permits, 1, 1_000)])
    return (await this.#acquire(name, 'semaphore', permits, rest)) as SemaphorePermit
  }

  async tryAcquirePermit(
    name: string,
    options: Omit<SemaphoreOptions, 'waitMs'>,
  ): Promise<SemaphorePermit | undefined> {
    const { permits, ...rest } = optionsOf('tryAcquirePermit', options)
    checkOptions('tryAcquirePermit', { permits }, ['permits'], [isCount('permits', permits, 1, 1_000)])
    return (await this.#try(name, 'semaphore', permits, rest)) as SemaphorePermit | undefined
  }

  async list(options: { readonly limit?: number } = {}): Promise<LockInfo[]> {
    const { limit = 1_000 } = optionsOf('locks.list', options)
    checkOptions('locks.list', options, ['limit'], [isCount('limit', limit, 1, 1_000_000)])
    return this.#administer('listing', undefined, 'not-applied', this.engine.list({ limit }))
  }

  async show(name: string): Promise<LockInfo | undefined> {
    checkOptions('locks.show', {}, [], [isName('name', name)])
    return this.#administer('showing', name, 'not-applied', this.engine.show(name))
  }

  async forceRelease(name: string): Promise<LockInfo | undefined> {
    checkOptions('locks.forceRelease', {}, [], [isName('name', name)])
    return this.#administer('releasing', name, 'unknown', this.engine.expel(name))
  }

  /** A question of those who operate: an answer in time, or an error of ours. */
  async #administer<T>(
    what: string,
    name: string | undefined,
    outcome: Outcome,
    question: Promise<T>,
  ): Promise<T> {
    try {
      return await within(this.engine.clock, ADMINISTER_MS, question)
    } catch (cause) {
      throw isHoldfastError(cause) ? cause : new LockEngineError(name, outcome, what, { cause })
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#keeper.held].map((holding) => holding[Symbol.asyncDispose]()))
    await this.engine.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #acquireAll(names: readonly string[], options: AcquireLockOptions): Promise<LockSet> {
    const { clock } = this.engine
    const { waitMs = DEFAULT_WAIT_MS } = optionsOf('locks.acquire', options)
    checkOptions('locks.acquire', options, ACQUIRE_OPTIONS, [
      isCount('the number of names', names.length, 1, 100),
      ...Array.from(names, (name) => isName('each name', name)), // from: map skips holes
      new Set(names).size === names.length || 'names must be without duplicates',
      ...this.#checks(options),
    ])
    const endMs = clock.monotonic() + waitMs
    const locks: ExclusiveLock[] = []
    try {
      // One order everywhere, so that two that want the same names cannot wait for each other in a circle.
      for (const name of [...names].sort()) {
        const leftMs = Math.max(0, endMs - clock.monotonic())
        locks.push(await this.acquire(name, { ...options, waitMs: leftMs }))
      }
    } catch (error) {
      await Promise.all(locks.map((lock) => lock[Symbol.asyncDispose]()))
      throw error
    }
    return toLockSet(locks)
  }

  async #acquire(
    name: string,
    mode: LockMode,
    limit: number,
    options: AcquireLockOptions,
  ): Promise<HeldLock> {
    const { ttlMs = DEFAULT_TTL_MS, waitMs = DEFAULT_WAIT_MS, signal } = optionsOf('locks.acquire', options)
    checkOptions('locks.acquire', options, ACQUIRE_OPTIONS, [isName('name', name), ...this.#checks(options)])
    const lock = await take(this.#taking, this.#request(name, mode, limit, ttlMs), waitMs, signal)
    if (lock === undefined) throw new LockNotAcquiredError(name, waitMs)
    return lock
  }

  async #try(
    name: string,
    mode: LockMode,
    limit: number,
    options: TryAcquireOptions,
  ): Promise<HeldLock | undefined> {
    const { ttlMs = DEFAULT_TTL_MS, signal } = optionsOf('locks.tryAcquire', options)
    checkOptions(
      'locks.tryAcquire',
      options,
      ['ttlMs', 'signal'],
      [isName('name', name), ...this.#checks(options)],
    )
    return take(this.#taking, this.#request(name, mode, limit, ttlMs), 0, signal)
  }

  #checks({ ttlMs = DEFAULT_TTL_MS, waitMs = DEFAULT_WAIT_MS }: AcquireLockOptions): Check[] {
    const { minMs, maxMs } = this.engine.ttlBounds()
    return [
      (isDuration('ttlMs', ttlMs) === true && ttlMs >= minMs && ttlMs <= maxMs) ||
        `ttlMs must be from ${minMs} to ${maxMs} milliseconds with ${this.engine.name}, got ${show(ttlMs)}`,
      isDurationOrZero('waitMs', waitMs),
    ]
  }

  #request(name: string, mode: LockMode, limit: number, ttlMs: number): LockRequest {
    this.#count += 1
    return { name, holder: `${this.#owner}/${this.#count}`, mode, limit, ttlMs: Math.floor(ttlMs) }
  }
}

const ACQUIRE_OPTIONS = ['ttlMs', 'waitMs', 'signal']
