import { backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { type Alarm, after, within } from '../core/timer.ts'
import type { Grant, LockEngine, LockMode, LockRequest } from './engine.ts'
import { LockEngineError, LockLostError } from './errors.ts'
import type { HeldLock } from './held-lock.ts'

/** A part of the lease is left for timers that fire late and for handlers to notice the signal. */
const RESERVE = 0.1

/**
 * Renews the locks of one process and ends those that were not renewed in time.
 *
 * One timer for all of them, set for what is due next, so that a lock which is held for a millisecond costs none.
 */
export class LockKeeper {
  readonly engine: LockEngine
  readonly log: Log
  readonly #held = new Set<Holding>()
  #wakeAtMs = Number.POSITIVE_INFINITY
  #alarm: Alarm | undefined

  constructor(engine: LockEngine, log: Log) {
    this.engine = engine
    this.log = log
  }

  get held(): ReadonlySet<Holding> {
    return this.#held
  }

  keep(request: LockRequest, grant: Grant): Holding {
    const holding = new Holding(this, request, grant)
    this.#held.add(holding)
    this.#set(holding.dueAtMs)
    return holding
  }

  drop(holding: Holding): void {
    this.#held.delete(holding)
  }

  #set(atMs: number): void {
    if (atMs >= this.#wakeAtMs) return
    this.#alarm?.cancel()
    this.#wakeAtMs = atMs
    const { clock } = this.engine
    // A lock alone is no reason for the process to stay.
    this.#alarm = after(clock, Math.max(1, Math.ceil(atMs - clock.monotonic())), () => this.#turn(), {
      idle: true,
    })
  }

  #turn(): void {
    this.#wakeAtMs = Number.POSITIVE_INFINITY
    const nowMs = this.engine.clock.monotonic()
    let nextMs = Number.POSITIVE_INFINITY
    for (const holding of [...this.#held]) {
      if (!holding.isHeld()) continue
      if (nowMs >= holding.renewAtMs && !holding.renewing) void this.#renew(holding)
      nextMs = Math.min(nextMs, holding.dueAtMs)
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#set(nextMs)
  }

  /** Never rejects. A renewal that fails is tried again until the lock is given up. */
  async #renew(holding: Holding): Promise<void> {
    const { clock } = this.engine
    const { request, ttlMs } = holding
    holding.renewing = true
    try {
      const renewed = await within(clock, ttlMs / 3, this.engine.renew(request), () => new Error('no answer'))
      if (renewed === undefined) holding.end('it had ended at the engine, or was taken away')
      else holding.renewed(renewed.validUntilMs)
    } catch (error) {
      holding.failed(error, backoffMs(holding.failures + 1, { baseMs: 25, capMs: ttlMs / 6 }, clock))
      this.log.warn('a lock could not be renewed; trying again', { name: request.name, error })
    } finally {
      holding.renewing = false
      if (this.#held.has(holding)) this.#set(holding.dueAtMs)
    }
  }
}

/** One held lock: the state behind `HeldLock`. */
export class Holding implements HeldLock {
  readonly request: LockRequest
  readonly token: bigint
  readonly ttlMs: number
  renewing = false
  failures = 0
  renewAtMs: number
  readonly #keeper: LockKeeper
  readonly #clock: Clock
  #usableUntilMs: number
  /** Made when somebody asks for the signal: most locks are held too shortly for that. */
  #lost: AbortController | undefined
  /** The error is made when somebody asks for it: its stack costs more than a release. */
  #ended: { readonly why: string; readonly cause: unknown } | undefined
  #failure: unknown
  #releasing: Promise<boolean> | undefined

  constructor(keeper: LockKeeper, request: LockRequest, grant: Grant) {
    this.#keeper = keeper
    this.#clock = keeper.engine.clock
    this.request = request
    this.token = grant.token
    this.ttlMs = grant.ttlMs
    this.#usableUntilMs = this.#usable(grant.validUntilMs)
    this.renewAtMs = this.#renewAt(grant.validUntilMs)
  }

  get name(): string {
    return this.request.name
  }

  get mode(): LockMode {
    return this.request.mode
  }

  get holder(): string {
    return this.request.holder
  }

  get usableUntilMs(): number {
    return this.#usableUntilMs
  }

  get dueAtMs(): number {
    return this.renewing ? this.#usableUntilMs : Math.min(this.renewAtMs, this.#usableUntilMs)
  }

  get signal(): AbortSignal {
    if (this.#lost === undefined) {
      this.#lost = new AbortController()
      if (this.#ended !== undefined) this.#lost.abort(this.#reason(this.#ended))
    }
    return this.#lost.signal
  }

  isHeld(): boolean {
    if (this.#ended === undefined && this.#clock.monotonic() >= this.#usableUntilMs) {
      this.end('it was not renewed in time', this.#failure)
    }
    return this.#ended === undefined
  }

  /** Takes in a renewal. One that comes after the deadline is not relied on. */
  renewed(validUntilMs: number): void {
    if (!this.isHeld()) return
    this.failures = 0
    this.#failure = undefined
    this.#usableUntilMs = Math.max(this.#usableUntilMs, this.#usable(validUntilMs))
    this.renewAtMs = this.#renewAt(validUntilMs)
  }

  failed(error: unknown, againInMs: number): void {
    this.failures += 1
    this.#failure = error
    this.renewAtMs = this.#clock.monotonic() + againInMs
    this.isHeld()
  }

  end(why: string, cause?: unknown): void {
    if (this.#ended !== undefined) return
    this.#ended = { why, cause }
    this.#keeper.drop(this)
    this.#lost?.abort(this.#reason(this.#ended))
  }

  #reason({ why, cause }: { why: string; cause: unknown }): LockLostError {
    return new LockLostError(this, why, cause === undefined ? undefined : { cause })
  }

  release(): Promise<boolean> {
    this.#releasing ??= this.#release()
    return this.#releasing
  }

  /** What cannot be released ends by itself, so this does not hide the error with which a block is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release().catch((error: unknown) => {
      this.#keeper.log.warn('a lock could not be released; it is free when its lease has ended', {
        name: this.name,
        error,
      })
    })
  }

  async #release(): Promise<boolean> {
    const wasHeld = this.isHeld()
    this.end('it was released')
    const { engine } = this.#keeper
    try {
      // Also when it was lost here: at the engine it may still run for a tenth of the lease.
      const wasThere = await within(
        engine.clock,
        Math.min(5_000, this.ttlMs),
        engine.release(this.request),
        () => new Error('no answer'),
      )
      return wasHeld && wasThere
    } catch (cause) {
      throw new LockEngineError(this.name, 'unknown', 'releasing', { cause })
    }
  }

  #usable(validUntilMs: number): number {
    return validUntilMs - this.ttlMs * RESERVE
  }

  #renewAt(validUntilMs: number): number {
    return validUntilMs - (this.ttlMs * 2) / 3
  }
}
