import { throwIfAborted } from '../core/abort.ts'
import type { Background } from '../core/background.ts'
import { drainMsOf } from '../core/background.ts'
import { checkOptions, isDuration, isDurationOrZero, optionsOf } from '../core/options.ts'
import { effectTables } from '../effects/index.ts'
import { type HeldLease, keepLeases, type LeaseKeeper, leaseTables, listLeases } from '../lease/index.ts'
import { deadLetterTables } from '../outbox/index.ts'
import { requireRevision, type Store } from '../store/index.ts'
import type { ResolvedConsumer } from './consumer-options.ts'
import { DeadLetterRetries } from './dead-letter-retries.ts'
import { DrainTimeoutError } from './errors.ts'
import type { InboxRules } from './handle.ts'
import { ServedPartition } from './partition.ts'
import { Pruner } from './pruner.ts'
import { Runner } from './runner.ts'
import { inboxTables } from './tables.ts'
import type { Served } from './work.ts'
import { Worker } from './worker.ts'

/** Counts since the consumer began, in this process, but for those said to be of now. */
export interface ConsumerFigures {
  readonly group: string
  /** Now: partitions that this process reads, of `partitionsTotal` over all topics. */
  readonly partitions: number
  readonly partitionsTotal: number
  /** Now: messages delivered and not yet settled, running ones included. */
  readonly inHand: number
  /** Now: handlers under way. */
  readonly running: number
  readonly handled: number
  readonly duplicates: number
  readonly retries: number
  readonly deadLetters: number
}

export interface DrainUntilIdleOptions {
  /** How long nothing may have happened. Longer than the broker takes to deliver what is published. Default 300. */
  readonly idleMs?: number
  /** Default 30 000. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

export interface Consumer extends Background {
  /**
   * Waits until this process reads the partitions it is to read, has nothing in hand, and nothing has come for
   * `idleMs`. For tests: the consumer goes on, and what another process of the group has in hand is not seen.
   * @throws DrainTimeoutError when `deadlineMs` passes first; what ended the consumer, when it has ended
   */
  drainUntilIdle(options?: DrainUntilIdleOptions): Promise<void>
  figures(): ConsumerFigures
}

const DRAIN_MS = 10_000

export function startConsumer(
  store: Store,
  rules: InboxRules,
  windowMs: number,
  options: ResolvedConsumer,
): Consumer {
  return new InboxConsumer(store, rules, windowMs, options)
}

/** Consumes until nothing comes any more, and gives back the partitions, whatever happens meanwhile. */
export async function drainConsumer(
  start: () => Consumer,
  options: DrainUntilIdleOptions | undefined,
): Promise<ConsumerFigures> {
  const consumer = start()
  try {
    await consumer.drainUntilIdle(options)
  } finally {
    await consumer.stop()
  }
  return consumer.figures()
}

class InboxConsumer implements Consumer {
  readonly done: Promise<void>
  readonly #store: Store
  readonly #options: ResolvedConsumer
  readonly #runner: Runner
  readonly #worker: Worker
  readonly #retries: DeadLetterRetries
  readonly #pruner: Pruner
  readonly #keepers = new Map<string, LeaseKeeper>()
  readonly #partitions = new Set<ServedPartition>()
  readonly #stopping = new AbortController()
  #stopped: Promise<void> | undefined
  #finish!: () => void
  #fail!: (error: unknown) => void
  #failure: { error: unknown } | undefined

  constructor(store: Store, rules: InboxRules, windowMs: number, options: ResolvedConsumer) {
    this.#store = store
    this.#options = options
    this.#runner = new Runner(store, rules, options)
    this.#worker = new Worker(store.clock, this.#runner, options)
    this.#retries = new DeadLetterRetries(store, options, this.#worker, this.#partitions)
    this.#pruner = new Pruner(store, options, windowMs, () => this.#partitions.size > 0)
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
    // Whoever listens to `done` hears of it; whoever does not must not lose the process over it.
    this.done.catch(() => {})
    const { signal } = options
    if (signal?.aborted) void this.stop()
    else
      signal?.addEventListener('abort', () => void this.stop(), { once: true, signal: this.#stopping.signal })
    this.#start().catch((error: unknown) => this.#end(error))
  }

  async #start(): Promise<void> {
    await this.#store.transaction(
      async (tx) => {
        for (const set of [leaseTables, effectTables, deadLetterTables, inboxTables]) {
          await requireRevision(tx, set)
        }
      },
      { readOnly: true, signal: this.#stopping.signal },
    )
    throwIfAborted(this.#stopping.signal)
    for (const topic of this.#options.topics) this.#keep(topic)
    this.#retries.start(this.#stopping.signal)
    this.#pruner.start(this.#stopping.signal)
  }

  #keep(topic: string): void {
    const { broker, group, owner, ttlMs, log } = this.#options
    const byLease = new Map<HeldLease, ServedPartition>()
    const keeper = keepLeases(this.#store, {
      scope: leaseScope(group, topic),
      names: Array.from({ length: broker.partitions }, (_, i) => String(i)),
      owner,
      ttlMs,
      log,
      onGained: (held) => {
        const place = { topic, partition: Number(held.name), lease: held, signal: held.signal }
        const partition = new ServedPartition(
          place,
          this.#store,
          this.#options,
          this.#worker,
          (error) => void this.#end(error),
        )
        byLease.set(held, partition)
        this.#partitions.add(partition)
        void partition.ended.then(() => this.#partitions.delete(partition))
      },
      onDrain: (held) => byLease.get(held)?.leave(),
      onLost: (held) => void byLease.delete(held),
    })
    this.#keepers.set(topic, keeper)
    keeper.done.catch((error: unknown) => this.#end(error))
  }

  async drainUntilIdle(given: DrainUntilIdleOptions = {}): Promise<void> {
    const { idleMs = 300, deadlineMs = 30_000, signal } = optionsOf('drainUntilIdle', given)
    checkOptions(
      'drainUntilIdle',
      given,
      ['idleMs', 'deadlineMs', 'signal'],
      [isDurationOrZero('idleMs', idleMs), isDuration('deadlineMs', deadlineMs)],
    )
    const { clock } = this.#store
    const endMs = clock.monotonic() + deadlineMs
    let reading: { readonly sinceMs: number; readonly from: readonly Served[] } | undefined
    for (;;) {
      throwIfAborted(signal)
      if (this.#failure !== undefined) throw this.#failure.error
      if (this.#stopped !== undefined) return this.#stopped
      // What a broker delivers comes after its answer to the subscription, so the quiet time counts from there, and
      // again when a subscription or the lease behind it was lost meanwhile: it begins anew.
      if (reading !== undefined && !isSame(reading.from, this.#subscriptions())) reading = undefined
      if (reading === undefined && (await this.#isReading(signal)))
        reading = { sinceMs: clock.monotonic(), from: this.#subscriptions() }
      const nowMs = clock.monotonic()
      const quietMs = nowMs - Math.max(reading?.sinceMs ?? nowMs, this.#worker.lastActivityMs)
      const isAtRest = this.#worker.size === 0 && this.#worker.running === 0
      if (reading !== undefined && isAtRest && quietMs >= idleMs) return
      if (nowMs >= endMs) throw new DrainTimeoutError(deadlineMs, describe(this.figures()))
      await clock.sleep(Math.max(1, Math.min(10, endMs - nowMs)), signal)
    }
  }

  /** True when each partition has a holder, and this process reads from those it holds. */
  async #isReading(signal: AbortSignal | undefined): Promise<boolean> {
    const { topics, group, owner, broker } = this.#options
    let mine = 0
    for (const topic of topics) {
      const scope = leaseScope(group, topic)
      const leases = (await listLeases(this.#store, { scope, ...(signal && { signal }) })).filter(
        (l) => l.leftMs > 0,
      )
      if (leases.length < broker.partitions) return false
      mine += leases.filter((lease) => lease.owner === owner).length
    }
    return this.figures().partitions === mine
  }

  #subscriptions(): Served[] {
    return [...this.#partitions].flatMap(({ served }) => served ?? [])
  }

  figures(): ConsumerFigures {
    return {
      group: this.#options.group,
      partitions: this.#subscriptions().length,
      partitionsTotal: this.#options.topics.length * this.#options.broker.partitions,
      inHand: this.#worker.size,
      running: this.#worker.running,
      ...this.#runner.figures,
    }
  }

  stop(given: { drainMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#shutDown(drainMsOf('consumer.stop', given, DRAIN_MS))
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #end(error: unknown): Promise<void> {
    if (this.#stopping.signal.aborted) return
    this.#failure = { error }
    this.#options.log.error('the consumer ended', { group: this.#options.group, error })
    await this.stop()
  }

  /** The leases are kept to the end: what still runs may commit only under them. */
  async #shutDown(drainMs: number): Promise<void> {
    this.#stopping.abort(new DOMException('the consumer stops', 'AbortError'))
    const rested = this.#worker.hold()
    const timer = setTimeout(() => {
      const reason = new DOMException(`the consumer stops, and ${drainMs} ms have passed`, 'AbortError')
      for (const partition of this.#partitions) partition.abort(reason)
    }, drainMs)
    await rested
    clearTimeout(timer)
    await Promise.all([...this.#partitions].map((partition) => partition.leave()))
    await Promise.all([...this.#keepers.values()].map((keeper) => keeper.stop()))
    if (this.#failure === undefined) this.#finish()
    else this.#fail(this.#failure.error)
  }
}

function leaseScope(group: string, topic: string): string {
  return `inbox/${group}/${topic}`
}

function isSame<T>(before: readonly T[], now: readonly T[]): boolean {
  return before.length === now.length && before.every((each, i) => each === now[i])
}

function describe(figures: ConsumerFigures): string {
  const { partitions, partitionsTotal, inHand, running, handled } = figures
  return `reads ${partitions} of ${partitionsTotal} partitions, ${inHand} messages in hand, ${running} handlers running, ${handled} handled`
}
