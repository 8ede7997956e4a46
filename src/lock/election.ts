import type { Background } from '../core/background.ts'
import { drainMsOf } from '../core/background.ts'
import { backoffMs } from '../core/backoff.ts'
import { isForPeople } from '../core/errors.ts'
import { type Log, silentLog } from '../core/log.ts'
import {
  checkArguments,
  checkOptions,
  hasMethods,
  isDuration,
  isDurationOrZero,
  isFunction,
  isName,
  isObject,
  optionsOf,
} from '../core/options.ts'
import type { FencedLock } from '../fence/fence.ts'
import type { ExclusiveLock } from './held-lock.ts'
import type { Locks } from './locks.ts'

export interface ElectionOptions {
  /** How long a killed leader stays leader. Default 10 000. */
  readonly ttlMs?: number
  /** How often `observe` looks. Default 1 000. */
  readonly lookEveryMs?: number
  readonly log?: Log
}

/** One leadership. `fence(tx, term)` presents its token where a write lands. */
export interface Term extends FencedLock {
  /** Fires when the leadership is lost or given up, and in any case before its lease can have ended at the engine. */
  readonly signal: AbortSignal
  isHeld(): boolean
  /** Asks the work to end: `signal` fires, and the leadership is released when the work has ended. */
  resign(): void
}

export interface Leader {
  readonly holder: string
  readonly token: bigint
}

export interface CampaignOptions {
  /** Firing it is like calling `stop()`. */
  readonly signal?: AbortSignal
  /** How long `stop` and `resign` wait for the work before the leadership is released all the same. Default 5 000. */
  readonly drainMs?: number
  /** The pause after a term before this candidate stands again. Default 1 000. */
  readonly pauseMs?: number
}

export interface Candidate extends Background {
  /** The leadership that is held now. */
  readonly term: Term | undefined
}

export interface Election {
  /**
   * Stands for election until stopped. While this candidate leads, `work` runs; when it ends, by itself or since
   * `term.signal` fired, the leadership is released and the next candidate in the order of arrival leads. What it throws
   * is logged, and this candidate stands again after `pauseMs`.
   */
  run(work: (term: Term) => Promise<void>, options?: CampaignOptions): Candidate
  leader(): Promise<Leader | undefined>
  /** The leader now, and each change as it is seen; ends when `signal` fires. */
  observe(options?: { readonly signal?: AbortSignal }): AsyncGenerator<Leader | undefined, void, undefined>
  /** Lets `candidate` resign, and gives who leads next. Undefined when nobody did within `timeoutMs`, default 10 000. */
  handOver(candidate: Candidate, options?: { readonly timeoutMs?: number }): Promise<Leader | undefined>
}

/**
 * Elects one leader among the processes that stand for `name`, on any lock engine: an exclusive lock that is kept.
 *
 * Guarantee: that of the engine's exclusive lock. A leader that was paused beyond its lease does not know that it was
 * succeeded; `fence(tx, term)` refuses its writes.
 */
export function election(locks: Locks, name: string, options: ElectionOptions = {}): Election {
  checkArguments(
    'election',
    hasMethods('locks', locks, 'what createLocks gives', 'acquire', 'show'),
    isObject('options', options),
  )
  const { ttlMs = 10_000, lookEveryMs = 1_000, log = silentLog } = options
  checkOptions(
    'election',
    options,
    ['ttlMs', 'lookEveryMs', 'log'],
    [isName('name', name, 190), isDuration('ttlMs', ttlMs), isDuration('lookEveryMs', lookEveryMs)],
  )
  const lockName = `election/${name}`
  const { clock } = locks.engine

  async function leader(): Promise<Leader | undefined> {
    const holder = (await locks.show(lockName))?.holders[0]
    return holder && { holder: holder.holder, token: holder.token }
  }

  return {
    run: (work, given = {}) => new Campaign(locks, lockName, { work, ttlMs, log, given }),
    leader,
    observe(options = {}) {
      const { signal } = optionsOf('election.observe', options)
      checkOptions('election.observe', options, ['signal'], [])
      return observe(signal)
    },
    async handOver(candidate, options = {}) {
      checkArguments(
        'election.handOver',
        hasMethods('candidate', candidate, 'what election.run gives', 'stop'),
        isObject('options', options),
      )
      const { timeoutMs = 10_000 } = options
      checkOptions('election.handOver', options, ['timeoutMs'], [isDuration('timeoutMs', timeoutMs)])
      const { term } = candidate
      term?.resign()
      const endMs = clock.monotonic() + timeoutMs
      while (clock.monotonic() < endMs) {
        const now = await leader()
        if (now !== undefined && now.holder !== term?.holder) return now
        await clock.sleep(Math.min(lookEveryMs, 50))
      }
      return undefined
    },
  }

  async function* observe(signal: AbortSignal | undefined) {
    let seen: Leader | undefined
    for (let first = true; !signal?.aborted; first = false) {
      const now = await leader()
      if (first || now?.token !== seen?.token || now?.holder !== seen?.holder) yield now
      seen = now
      await clock.sleep(lookEveryMs, signal).catch(() => {})
    }
  }
}

interface CampaignParts {
  readonly work: (term: Term) => Promise<void>
  readonly ttlMs: number
  readonly log: Log
  readonly given: CampaignOptions
}

class Campaign implements Candidate {
  readonly done: Promise<void>
  readonly #locks: Locks
  readonly #lockName: string
  readonly #parts: CampaignParts
  readonly #drainMs: number
  readonly #pauseMs: number
  readonly #halt = new AbortController()
  #term: Term | undefined
  #drainNowMs: number | undefined

  constructor(locks: Locks, lockName: string, parts: CampaignParts) {
    const { drainMs = 5_000, pauseMs = 1_000, signal } = optionsOf('election.run', parts.given)
    checkOptions(
      'election.run',
      parts.given,
      ['signal', 'drainMs', 'pauseMs'],
      [
        isFunction('work', parts.work),
        isDurationOrZero('drainMs', drainMs),
        isDurationOrZero('pauseMs', pauseMs),
      ],
    )
    this.#locks = locks
    this.#lockName = lockName
    this.#parts = parts
    this.#drainMs = drainMs
    this.#pauseMs = pauseMs
    if (signal?.aborted) this.#halt.abort()
    else
      signal?.addEventListener('abort', () => this.#halt.abort(), { once: true, signal: this.#halt.signal })
    this.done = this.#run()
    this.done.catch(() => {}) // a caller that does not look at `done` has the log
  }

  get term(): Term | undefined {
    return this.#term
  }

  stop(options: { drainMs?: number } = {}): Promise<void> {
    const drainMs = drainMsOf('candidate.stop', options, undefined)
    this.#drainNowMs ??= drainMs
    this.#halt.abort()
    return this.done.catch(() => {})
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #run(): Promise<void> {
    const { ttlMs, log } = this.#parts
    const { clock } = this.#locks.engine
    const { signal } = this.#halt
    for (let failures = 0; !signal.aborted; ) {
      let pauseMs = this.#pauseMs
      try {
        const lock = await this.#locks.acquire(this.#lockName, { ttlMs, waitMs: 600_000, signal })
        failures = 0
        await this.#lead(lock)
      } catch (error) {
        if (signal.aborted) return
        if (isForPeople(error)) throw error
        if ((error as { code?: string }).code === 'LOCK_NOT_ACQUIRED') continue
        failures += 1
        pauseMs = backoffMs(failures, { baseMs: 50, capMs: 5_000 }, clock)
        log.warn('the election could not be taken part in; trying again', { name: this.#lockName, error })
      }
      await clock.sleep(pauseMs, signal).catch(() => {})
    }
  }

  /** Releases when the work has ended, or the drain is over: nobody else leads while this one still winds up. */
  async #lead(lock: ExclusiveLock): Promise<void> {
    const { clock } = this.#locks.engine
    const { work, log } = this.#parts
    const resigned = new AbortController()
    const signal = AbortSignal.any([lock.signal, resigned.signal, this.#halt.signal])
    this.#term = {
      mode: 'exclusive',
      name: lock.name,
      token: lock.token,
      holder: lock.holder,
      signal,
      isHeld: () => !signal.aborted && lock.isHeld(),
      resign: () => resigned.abort(new Error('the leader resigned')),
    }
    const over = new AbortController()
    const late = new Promise<void>((resolve) => {
      const drain = (): void =>
        void clock.sleep(this.#drainNowMs ?? this.#drainMs, over.signal).then(resolve, () => {})
      if (signal.aborted) drain()
      else signal.addEventListener('abort', drain, { once: true, signal: over.signal })
    })
    try {
      await Promise.race([Promise.resolve(this.#term).then(work), late])
    } catch (error) {
      log.error('the work of a leader failed', { name: this.#lockName, error })
    } finally {
      over.abort()
      this.#term = undefined
      resigned.abort(new Error('the term is over'))
      await lock[Symbol.asyncDispose]()
    }
  }
}
