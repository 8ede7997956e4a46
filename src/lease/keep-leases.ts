import type { Background } from '../core/background.ts'
import { drainMsOf } from '../core/background.ts'
import { backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { deferred } from '../core/deferred.ts'
import { isForPeople } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { checkArguments, isObject } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { OwnTransaction } from '../store/transaction.ts'
import { acquireAll } from './acquire.ts'
import { type HeldLease, Holding } from './held-lease.ts'
import {
  type KeepLeasesOptions,
  type ResolvedKeepLeasesOptions,
  resolveKeepLeasesOptions,
} from './keep-leases-options.ts'
import { type GrantedRow, type Lease, toLease } from './lease.ts'
import { releaseLease, releaseOwned } from './release.ts'
import { readLeases, renewOwned } from './renew.ts'
import { nextShare, type ShareStep } from './share.ts'

export interface LeaseKeeper extends Background {
  readonly owner: string
  /** What is held at this moment, in no order; those being drained included. */
  readonly held: readonly HeldLease[]
}

/**
 * Holds a share of the named leases for as long as it runs, and renews them all with one statement.
 *
 * Guarantee: a lease is announced only while the store says that it runs, and its `signal` fires a tenth of `ttlMs`
 * before it can have ended there. A lease that was ever announced under an epoch is announced again only under a
 * higher one. Members that join or leave are noticed within one look (a leaver) or one look and the drain (a joiner);
 * a killed one within `ttlMs` and one look. Bounds: one round at a time, each call to the store bounded by
 * `renewEveryMs`; errors are logged and tried again with back-off.
 * @throws ConfigError; `done` rejects when the tables are missing or the store is closed
 */
export function keepLeases(store: Store, options: KeepLeasesOptions): LeaseKeeper {
  checkArguments('keepLeases', isStore(store), isObject('options', options))
  return new Keeper(store, resolveKeepLeasesOptions(options))
}

class Keeper implements LeaseKeeper {
  readonly #done = deferred<void>()
  readonly done = this.#done.promise
  readonly #store: Store
  readonly #clock: Clock
  readonly #options: ResolvedKeepLeasesOptions
  readonly #membersScope: string
  readonly #holdings = new Map<string, Holding>()
  readonly #leaving = new Map<string, Promise<void>>()
  /** The epoch under which each name was last announced. */
  readonly #announced = new Map<string, bigint>()
  readonly #halt = new AbortController()
  readonly #loop: Promise<void>
  #stopping: Promise<void> | undefined
  #renewAtMs = 0
  #renewals = 0

  constructor(store: Store, options: ResolvedKeepLeasesOptions) {
    this.#store = store
    this.#clock = store.clock
    this.#options = options
    this.#membersScope = `${options.scope}/members`
    this.#loop = this.#run()
    const { signal } = options
    if (signal?.aborted) void this.stop()
    else signal?.addEventListener('abort', () => void this.stop(), { once: true, signal: this.#halt.signal })
  }

  get owner(): string {
    return this.#options.owner
  }

  get held(): readonly HeldLease[] {
    return [...this.#holdings.values()].filter((holding) => holding.isHeld())
  }

  stop(options: { drainMs?: number } = {}): Promise<void> {
    const drainMs = drainMsOf('keeper.stop', options, this.#options.drainMs)
    this.#stopping ??= this.#shutDown(drainMs)
    return this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #run(): Promise<void> {
    const { lookEveryMs, renewEveryMs, log, scope } = this.#options
    for (let failures = 0; !this.#halt.signal.aborted; ) {
      let waitMs: number
      try {
        const { waiting } = await this.#round()
        failures = 0
        // Sooner while another member is about to give something up, and never in step with the others.
        waitMs = (waiting ? Math.min(lookEveryMs, 100) : lookEveryMs) * (0.9 + 0.2 * this.#clock.random())
        waitMs = Math.min(waitMs, this.#renewAtMs - this.#clock.monotonic())
      } catch (error) {
        if (this.#halt.signal.aborted) return
        if (isForPeople(error)) return this.#fail(error)
        failures += 1
        waitMs = backoffMs(failures, { baseMs: Math.min(50, renewEveryMs), capMs: lookEveryMs }, this.#clock)
        log.warn('leases could not be looked after; trying again', { scope, error, failures })
      }
      await this.#clock.sleep(Math.max(1, waitMs), this.#halt.signal).catch(() => {})
    }
  }

  /** Renews when it is time, looks, and acts on what `nextShare` decides. */
  async #round(): Promise<{ waiting: boolean }> {
    const { names, owner, share, scope } = this.#options
    const seen = await this.#look(this.#clock.monotonic() >= this.#renewAtMs)
    const unclaimed = this.#reconcile(seen)
    if (this.#stopping !== undefined) return { waiting: false }
    for (const lease of unclaimed.filter((lease) => this.#announced.get(lease.name) === lease.epoch)) {
      // Work under this epoch may still be under way, so it can only come back under another.
      await releaseLease(this.#store, lease, this.#bounded())
      seen.holders.delete(lease.name)
    }
    if (share && !seen.members.has(owner)) {
      await this.#acquire(this.#membersScope, [owner])
      seen.members.add(owner)
    }
    const step: ShareStep = share
      ? nextShare({
          me: owner,
          members: [...seen.members],
          names,
          holders: seen.holders,
          leaving: new Set(this.#leaving.keys()),
        })
      : { take: names.filter((name) => !seen.holders.has(name)), giveUp: [], waiting: false }
    const given = unclaimed.filter((lease) => seen.holders.has(lease.name)).map((lease) => lease.name)
    const wanted = [...step.take, ...given]
    const gained = wanted.length > 0 ? await this.#acquire(scope, wanted) : []
    await failpoint('lease.keeper.acquired')
    for (const lease of gained) this.#gain(lease)
    for (const name of step.giveUp) this.#giveUp(name, this.#options.drainMs)
    return { waiting: step.waiting || gained.length < wanted.length }
  }

  async #look(renew: boolean): Promise<Seen> {
    const { scope, owner, ttlMs, names, renewEveryMs } = this.#options
    const { dialect } = this.#store
    const scopes = [scope, this.#membersScope]
    const sentAtMs = this.#clock.monotonic()
    let askedAtMs = sentAtMs
    const work = async (tx: OwnTransaction): Promise<GrantedRow[]> => {
      if (renew) {
        await renewOwned(tx, { scopes, owner, ttlMs })
        if (this.#renewals % 100 === 0) await this.#forgetMembers(tx)
      }
      askedAtMs = this.#clock.monotonic()
      const running = sql`${dialect.isOneOf(sql.ident('scope'), 'text', scopes)} and until_ms > ${dialect.nowMs}`
      return readLeases(tx, running, names.length + MEMBERS_MAX)
    }
    const rows = await this.#store.transaction(work, {
      isolation: 'read-committed',
      readOnly: !renew,
      urgent: true,
      ...this.#bounded(),
    })
    if (renew) {
      this.#renewals += 1
      this.#renewAtMs = sentAtMs + renewEveryMs
    }
    const mine = rows.filter((row) => row.scope === scope && row.owner === owner)
    return {
      mine: mine.map((row) => toLease(row, { ttlMs, sentAtMs: renew ? sentAtMs : askedAtMs, askedAtMs })),
      holders: new Map(rows.filter((row) => row.scope === scope).map((row) => [row.name, row.owner])),
      members: new Set(rows.filter((row) => row.scope === this.#membersScope).map((row) => row.name)),
    }
  }

  /** Members have names of their own, so a row of one that is long gone means nothing any more. */
  async #forgetMembers(tx: OwnTransaction): Promise<void> {
    const ageMs = Math.max(10 * this.#options.ttlMs, 600_000)
    await tx.execute(
      sql`delete from ${this.#store.table('lease')} where scope = ${this.#membersScope} and until_ms < ${this.#store.dialect.nowMs} - ${ageMs}`,
    )
  }

  /** Brings the holdings in line with what the store says, and gives what is ours there and held by none of them. */
  #reconcile({ mine }: Seen): Lease[] {
    const stored = new Map(mine.map((lease) => [lease.name, lease]))
    for (const holding of [...this.#holdings.values()]) {
      const lease = stored.get(holding.name)
      if (lease?.epoch === holding.epoch) holding.renewed(lease)
      else holding.end('it had ended at the store, or another owner has taken it')
    }
    return mine.filter(({ name }) => !this.#holdings.has(name) && !this.#leaving.has(name))
  }

  #acquire(scope: string, names: readonly string[]): Promise<Lease[]> {
    const { owner, ttlMs } = this.#options
    return acquireAll(this.#store, { scope, names, owner, ttlMs, skipLocked: true, ...this.#bounded() })
  }

  #gain(lease: Lease): void {
    if (this.#stopping !== undefined || this.#holdings.has(lease.name)) return
    const { log, onGained, onLost, scope } = this.#options
    const holding = new Holding(lease, this.#clock)
    // Granted so late that it is over again; the next round releases it and tries anew.
    this.#announced.set(lease.name, lease.epoch)
    if (!holding.isHeld()) return
    this.#holdings.set(lease.name, holding)
    const fields = { scope, name: lease.name, epoch: lease.epoch, owner: lease.owner }
    holding.signal.addEventListener(
      'abort',
      () => {
        this.#holdings.delete(lease.name)
        log.info('lease is over', { ...fields, reason: holding.signal.reason })
        this.#call('onLost', () => onLost?.(holding))
      },
      { once: true },
    )
    log.info('lease gained', fields)
    this.#call('onGained', () => onGained(holding))
  }

  /** Drains and releases one lease; meanwhile it is renewed with the others. */
  #giveUp(name: string, drainMs: number): void {
    const holding = this.#holdings.get(name)
    if (holding === undefined || this.#leaving.has(name)) return
    const leave = async (): Promise<void> => {
      await this.#drain(holding, drainMs)
      await failpoint('lease.keeper.drained')
      holding.end('it was given up')
      // When this fails, the next round finds the lease without a holding and releases it.
      await releaseLease(this.#store, holding, this.#bounded()).catch((error: unknown) =>
        this.#options.log.warn('a lease could not be released', { name, error }),
      )
      this.#leaving.delete(name)
    }
    this.#leaving.set(name, leave())
  }

  async #drain(holding: Holding, drainMs: number): Promise<void> {
    const { onDrain, log } = this.#options
    if (onDrain === undefined || drainMs === 0) return
    const over = new AbortController()
    const lost = new Promise<void>((resolve) => {
      holding.signal.addEventListener('abort', () => resolve(), { once: true, signal: over.signal })
    })
    const late = this.#clock.sleep(drainMs, over.signal).catch(() => {})
    try {
      await Promise.race([Promise.resolve(onDrain(holding)), lost, late])
    } catch (error) {
      log.error('onDrain failed', { name: holding.name, error })
    } finally {
      over.abort()
    }
  }

  async #shutDown(drainMs: number): Promise<void> {
    // A turn of its own, so that `stop` is known to have been called before anything here runs.
    await Promise.resolve()
    // First out of the membership: the others then take what becomes free instead of keeping it for this one.
    if (this.#options.share) await this.#release([this.#membersScope])
    for (const name of [...this.#holdings.keys()]) this.#giveUp(name, drainMs)
    await Promise.all(this.#leaving.values())
    this.#halt.abort()
    await this.#loop
    for (const holding of [...this.#holdings.values()]) holding.end('its keeper was stopped')
    await this.#release([this.#options.scope, this.#membersScope])
    this.#done.resolve()
  }

  async #release(scopes: readonly string[]): Promise<void> {
    const { owner, renewEveryMs, log } = this.#options
    await this.#store
      .transaction((tx) => releaseOwned(tx, { scopes, owner }), {
        isolation: 'read-committed',
        timeoutMs: renewEveryMs,
        urgent: true,
      })
      .catch((error: unknown) =>
        log.warn('leases could not be released; they will end by themselves', { scopes, error }),
      )
  }

  /** Nothing that waiting would mend: the tables are missing, or the store is closed. */
  #fail(error: unknown): void {
    this.#options.log.error('the lease keeper has ended', { scope: this.#options.scope, error })
    this.#done.reject(error)
    this.#halt.abort()
    for (const holding of [...this.#holdings.values()]) holding.end('its keeper has ended', error)
  }

  #call(what: string, callback: () => void): void {
    try {
      const answer: unknown = callback()
      if (answer instanceof Promise) answer.catch((error) => this.#failed(what, error))
    } catch (error) {
      this.#failed(what, error)
    }
  }

  #failed(what: string, error: unknown): void {
    this.#options.log.error(`${what} failed`, { scope: this.#options.scope, error })
  }

  #bounded(): { timeoutMs: number; signal: AbortSignal } {
    return { timeoutMs: this.#options.renewEveryMs, signal: this.#halt.signal }
  }
}

interface Seen {
  readonly mine: readonly Lease[]
  readonly holders: Map<string, string>
  readonly members: Set<string>
}

const MEMBERS_MAX = 10_000
