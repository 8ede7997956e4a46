import { orAbort, throwIfAborted } from '../core/abort.ts'
import { Bell } from '../core/background.ts'
import { backoffMs } from '../core/backoff.ts'
import { isForPeople, isHoldfastError, type Outcome } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { type Log, silentLog } from '../core/log.ts'
import { type Check, checkOptions, isCount, isDuration, isDurationOrZero, isName } from '../core/options.ts'
import { within } from '../core/timer.ts'
import { uniqueOwner } from '../lease/owner.ts'
import type { Store } from '../store/store.ts'
import type { Grant, LockAnswer, LockEngine, LockInfo, LockMode, LockRequest } from './engine.ts'
import { LockEngineError, LockNotAcquiredError, LockQueueFullError } from './errors.ts'
import type { ExclusiveLock, HeldLock, LockSet, SemaphorePermit, SharedLock } from './held-lock.ts'
import { LockKeeper } from './keeper.ts'
import { toLockSet } from './lock-set.ts'
import { storeLocks } from './store/store-engine.ts'

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
  const { owner = uniqueOwner(), log = silentLog } = options
  checkOptions('createLocks', options, ['owner', 'log'], [isName('owner', owner, 150)])
  return new LocksOn('ask' in engine ? engine : storeLocks(engine), owner, log)
}

const DEFAULT_TTL_MS = 10_000
const DEFAULT_WAIT_MS = 30_000
/** The longest that one question to the engine may take. */
const ANSWER_MS = 5_000
/** A wait that is nearly over still hears an answer that takes no longer than this. */
const ANSWER_LEAST_MS = 1_000
/** The longest that `list`, `show` and `forceRelease` take. */
const ADMINISTER_MS = 10_000
/** How long a failed `acquire` tries to take back what it may have left at the engine, before it says `unknown`. */
const WITHDRAW_MS = 2_000

class LocksOn implements Locks {
  readonly engine: LockEngine
  readonly #owner: string
  readonly #keeper: LockKeeper
  readonly #log: Log
  #count = 0

  constructor(engine: LockEngine, owner: string, log: Log) {
    this.engine = engine
    this.#owner = owner
    this.#log = log
    this.#keeper = new LockKeeper(engine, log)
  }

  acquire(name: string, options?: AcquireLockOptions): Promise<ExclusiveLock>
  acquire(names: readonly string[], options?: AcquireLockOptions): Promise<LockSet>
  acquire(
    name: string | readonly string[],
    options: AcquireLockOptions = {},
  ): Promise<ExclusiveLock | LockSet> {
    return typeof name === 'object' && Array.isArray(name)
      ? this.#acquireAll(name, options)
      : this.#acquire(name as string, 'exclusive', 1, options).then((lock) => lock as ExclusiveLock)
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
    const { permits, ...rest } = options
    checkOptions('acquirePermit', { permits }, ['permits'], [isCount('permits', permits, 1, 1_000)])
    return (await this.#acquire(name, 'semaphore', permits, rest)) as SemaphorePermit
  }

  async tryAcquirePermit(
    name: string,
    options: Omit<SemaphoreOptions, 'waitMs'>,
  ): Promise<SemaphorePermit | undefined> {
    const { permits, ...rest } = options
    checkOptions('tryAcquirePermit', { permits }, ['permits'], [isCount('permits', permits, 1, 1_000)])
    return (await this.#try(name, 'semaphore', permits, rest)) as SemaphorePermit | undefined
  }

  async list(options: { readonly limit?: number } = {}): Promise<LockInfo[]> {
    const { limit = 1_000 } = options
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
      return await within(this.engine.clock, ADMINISTER_MS, question, noAnswer)
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
    const { waitMs = DEFAULT_WAIT_MS } = options
    checkOptions('locks.acquire', options, ACQUIRE_OPTIONS, [
      isCount('the number of names', names.length, 1, 100),
      ...names.map((name) => isName('each name', name)),
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
    const { ttlMs = DEFAULT_TTL_MS, waitMs = DEFAULT_WAIT_MS, signal } = options
    checkOptions('locks.acquire', options, ACQUIRE_OPTIONS, [isName('name', name), ...this.#checks(options)])
    const lock = await this.#take(this.#request(name, mode, limit, ttlMs), waitMs, signal)
    if (lock === undefined) throw new LockNotAcquiredError(name, waitMs)
    return lock
  }

  async #try(
    name: string,
    mode: LockMode,
    limit: number,
    options: TryAcquireOptions,
  ): Promise<HeldLock | undefined> {
    const { ttlMs = DEFAULT_TTL_MS, signal } = options
    checkOptions(
      'locks.tryAcquire',
      options,
      ['ttlMs', 'signal'],
      [isName('name', name), ...this.#checks(options)],
    )
    return this.#take(this.#request(name, mode, limit, ttlMs), 0, signal)
  }

  #checks({ ttlMs = DEFAULT_TTL_MS, waitMs = DEFAULT_WAIT_MS }: AcquireLockOptions): Check[] {
    const { minMs, maxMs } = this.engine.ttlBounds()
    return [
      (isDuration('ttlMs', ttlMs) === true && ttlMs >= minMs && ttlMs <= maxMs) ||
        `ttlMs must be from ${minMs} to ${maxMs} milliseconds with ${this.engine.name}, got ${ttlMs}`,
      isDurationOrZero('waitMs', waitMs),
    ]
  }

  #request(name: string, mode: LockMode, limit: number, ttlMs: number): LockRequest {
    this.#count += 1
    return { name, holder: `${this.#owner}/${this.#count}`, mode, limit, ttlMs: Math.floor(ttlMs) }
  }

  /** Undefined when the lock was not free in time; nothing is then left at the engine. */
  async #take(
    request: LockRequest,
    waitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<HeldLock | undefined> {
    throwIfAborted(signal)
    const { clock } = this.engine
    const wait = waitMs > 0
    const endMs = clock.monotonic() + waitMs
    const bell = new Bell()
    let handed: Grant | undefined
    const unwatch = wait
      ? this.engine.watch(request, (grant) => {
          handed = grant ?? handed
          bell.ring()
        })
      : () => {}
    let failure: unknown
    let failures = 0
    let asking: Promise<LockAnswer> | undefined
    try {
      for (;;) {
        let pauseMs: number
        try {
          let answer: LockAnswer
          if (handed) {
            answer = { kind: 'held', ...handed }
            handed = undefined
          } else {
            asking = this.engine.ask(request, { wait })
            const answerMs = wait
              ? Math.min(ANSWER_MS, Math.max(endMs - clock.monotonic(), ANSWER_LEAST_MS))
              : ANSWER_MS
            answer = await orAbort(within(clock, answerMs, asking, noAnswer), signal)
            asking = undefined
          }
          failure = undefined
          failures = 0
          await failpoint('lock.asked')
          if (answer.kind === 'held') {
            if (signal?.aborted) break
            const holding = this.#keeper.keep(request, answer)
            if (holding.isHeld()) return holding
            pauseMs = 0 // granted so long ago that it is over again: ask anew
          } else if (answer.kind === 'refused') return undefined
          else if (answer.kind === 'full') throw new LockQueueFullError(request.name, answer.entriesMax)
          // Asking again also keeps the place in the queue.
          else pauseMs = Math.max(1, Math.min(answer.lookInMs, request.ttlMs / 3))
        } catch (error) {
          if (signal?.aborted) break
          if (isForPeople(error) || error instanceof LockQueueFullError) throw error
          failure = error
          failures += 1
          pauseMs = backoffMs(failures, { baseMs: 20, capMs: request.ttlMs / 4 }, clock)
          this.#log.warn('a lock could not be asked for; trying again', { name: request.name, error })
        }
        const leftMs = endMs - clock.monotonic()
        if (leftMs <= 0 || signal?.aborted) break
        await bell.wait(Math.min(pauseMs, leftMs), signal)
        if (signal?.aborted) break
      }
    } finally {
      unwatch()
    }
    return this.#withdraw(request, { failure, asking, signal })
  }

  /** Takes back whatever may stand at the engine under this holder, and says what is known. */
  async #withdraw(
    request: LockRequest,
    {
      failure,
      asking,
      signal,
    }: { failure: unknown; asking: Promise<unknown> | undefined; signal: AbortSignal | undefined },
  ): Promise<undefined> {
    const cause = signal?.aborted ? signal.reason : failure
    try {
      await within(this.engine.clock, WITHDRAW_MS, this.#remove(request, asking), noAnswer)
    } catch {
      throw new LockEngineError(request.name, 'unknown', 'acquiring', { cause })
    }
    if (signal?.aborted) throw signal.reason
    if (failure !== undefined) throw new LockEngineError(request.name, 'not-applied', 'acquiring', { cause })
    return undefined
  }

  /**
   * Tries until the entry would have ended by itself. A question that is still under way may reach the engine after the
   * first removal, so what it left is removed when it is over.
   */
  async #remove(request: LockRequest, asking: Promise<unknown> | undefined): Promise<void> {
    const { clock } = this.engine
    const endMs = clock.monotonic() + request.ttlMs
    for (let failures = 1; ; failures++) {
      try {
        await within(clock, ANSWER_MS, this.engine.release(request), noAnswer)
        if (asking === undefined) return
        const answer = await within(clock, request.ttlMs, asking, noAnswer).catch(() => undefined)
        asking = undefined
        if (answer === undefined) return void (await this.engine.release(request))
      } catch (error) {
        if (clock.monotonic() >= endMs) throw error
        await clock.sleep(backoffMs(failures, { baseMs: 20, capMs: 1_000 }, clock))
      }
    }
  }
}

const noAnswer = (): Error => new Error('the engine gave no answer in time')

const ACQUIRE_OPTIONS = ['ttlMs', 'waitMs', 'signal']
