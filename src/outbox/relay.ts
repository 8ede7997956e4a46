import { orAbort, throwIfAborted } from '../core/abort.ts'
import { type Background, Bell, drainMsOf } from '../core/background.ts'
import { deferred } from '../core/deferred.ts'
import { ConfigError } from '../core/errors.ts'
import { checkOptions, optionsOf } from '../core/options.ts'
import { leaseTables, uniqueOwner } from '../lease/index.ts'
import type { Listener } from '../store/listener.ts'
import { requireRevision } from '../store/migrations.ts'
import type { Store } from '../store/store.ts'
import { ChunkPublisher } from './chunk-publisher.ts'
import { Deleter } from './deleter.ts'
import { RelayStoppedError } from './errors.ts'
import { FailureRecorder } from './failure-recorder.ts'
import { LaterMover } from './later-mover.ts'
import type { ResolvedOutboxOptions } from './outbox-options.ts'
import { agreeOnPartitions } from './partition-count.ts'
import { PartitionTable } from './partition-table.ts'
import { Reader } from './reader.ts'
import type { RelayContext } from './relay-context.ts'
import { RelayCounts, type RelayFigures, type RelayRates } from './relay-figures.ts'
import { relayListener } from './relay-listener.ts'
import { RelayLoop } from './relay-loop.ts'
import { type RelayOptions, resolveRelayOptions } from './relay-options.ts'
import { readReady } from './relay-statements.ts'
import { sourceOf } from './source.ts'
import { deadLetterTables, outboxTables } from './tables.ts'
import { Trouble } from './trouble.ts'
import { addRelay } from './wake.ts'

export interface Relay extends Background {
  /**
   * Relays until nothing is left that could go now: what the broker refused, what is delayed, and what partitions of
   * other relays hold stays. Gives the number of messages that the broker stored meanwhile.
   * @throws BrokerUnavailableError, or an error of the store, when it could not go on
   */
  drainOnce(options?: { readonly signal?: AbortSignal }): Promise<number>
  figures(): RelayFigures
}

/** How long `stop` waits when it is not told. */
const DRAIN_MS = 5_000

/** Puts the parts of a relay together, starts them and stops them. */
export class OutboxRelay implements Relay {
  readonly #done = deferred<void>()
  readonly done = this.#done.promise
  readonly #context: RelayContext
  readonly #partitions: PartitionTable
  readonly #publisher: ChunkPublisher
  readonly #deleter: Deleter
  readonly #loop: RelayLoop
  readonly #listener: Listener | undefined
  readonly #leaveList: () => void
  #running: Promise<void> | undefined
  #started: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #checkedTables = false

  /** `read` stands in for `readReady` in tests that show what its rules are for. */
  constructor(
    store: Store,
    outbox: ResolvedOutboxOptions,
    given: RelayOptions,
    rates: RelayRates,
    read: typeof readReady = readReady,
  ) {
    const options = resolveRelayOptions(given)
    this.#context = {
      store,
      outbox,
      options,
      source: sourceOf(outbox.name),
      owner: options.owner ?? uniqueOwner(),
      counts: new RelayCounts(rates),
      trouble: new Trouble(store.clock, options.log, outbox.name),
      bell: new Bell(),
      life: { stopping: false, aborted: false },
    }
    this.#partitions = new PartitionTable(this.#context)
    this.#deleter = new Deleter(this.#context)
    const later = new LaterMover(this.#context, this.#partitions)
    const failures = new FailureRecorder(this.#context, later)
    this.#publisher = new ChunkPublisher(this.#context, this.#deleter, failures)
    this.#loop = new RelayLoop(this.#context, {
      partitions: this.#partitions,
      reader: new Reader(this.#context, this.#partitions, read),
      publisher: this.#publisher,
      later,
      isListening: () => this.#listener?.working === true,
    })
    this.#listener =
      options.listen && relayListener(this.#context, options.listen, (heard) => this.#loop.hear(heard))
    this.#leaveList = addRelay(store, outbox.name, this.#loop)
    const { signal } = options
    if (signal?.aborted) void this.stop({ drainMs: 0 })
    else signal?.addEventListener('abort', () => void this.stop({ drainMs: 0 }), { once: true })
    if (!options.manual && !this.#context.life.stopping) this.#running = this.#runForEver()
  }

  async drainOnce(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    checkOptions('relay.drainOnce', optionsOf('relay.drainOnce', options), ['signal'], [])
    throwIfAborted(options.signal)
    const { life, counts } = this.#context
    if (life.stopping) throw new ConfigError('relay.drainOnce', ['the relay was stopped'])
    const before = counts.relayed
    await orAbort(this.#context.options.manual ? this.#drainByHand() : this.#drainRunning(), options.signal)
    return counts.relayed - before
  }

  figures(): RelayFigures {
    const { owner, counts } = this.#context
    const { rates, largeBytes, ...numbers } = counts
    let blockedKeys = 0
    for (const partition of this.#partitions.all()) blockedKeys += partition.blockedCount
    const relayedPerSecond = rates.relayed.perSecond()
    return { owner, partitions: this.#partitions.size, ...numbers, relayedPerSecond, blockedKeys }
  }

  stop(options: { readonly drainMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#stop(drainMsOf('relay.stop', options, DRAIN_MS))
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(drainMs: number): Promise<void> {
    const { life, bell } = this.#context
    life.stopping = true
    this.#leaveList()
    bell.ring()
    const abort = (): void => {
      life.aborted = true
      this.#partitions.abort(new RelayStoppedError())
      bell.ring()
    }
    const timer = setTimeout(abort, drainMs)
    try {
      await this.#listener?.stop()
      await this.#running?.catch(() => {})
      await this.#settleInHand()
    } finally {
      clearTimeout(timer)
      abort()
    }
    await this.#partitions.release()
    this.#done.resolve()
  }

  async #settleInHand(): Promise<void> {
    await this.#publisher.settled()
    await this.#deleter.settled()
  }

  /** `done` rejects when the relay meets what waiting cannot mend: missing tables, options that cannot work. */
  async #runForEver(): Promise<void> {
    const { options, outbox, life } = this.#context
    try {
      this.#started = this.#hold()
      await this.#started
      this.#listener?.start()
      await this.#loop.run()
    } catch (error) {
      options.log.error('the relay ended', { outbox: outbox.name, error })
      life.stopping = true
      this.#leaveList()
      this.#loop.fail(error)
      await this.#listener?.stop()
      this.#partitions.abort(error)
      await this.#settleInHand()
      await this.#partitions.release().catch(() => {})
      this.#done.reject(error)
    }
  }

  async #drainRunning(): Promise<void> {
    await this.#started
    await this.#partitions.ready()
    await this.#loop.untilIdle()
  }

  async #drainByHand(): Promise<void> {
    await this.#hold()
    try {
      await this.#loop.runUntilIdle()
    } finally {
      await this.#settleInHand()
      await this.#partitions.release()
    }
  }

  async #hold(): Promise<void> {
    const { store, options } = this.#context
    if (!this.#checkedTables) {
      await store.transaction(async (tx) => {
        for (const set of [outboxTables, deadLetterTables, leaseTables]) await requireRevision(tx, set)
      }, READ)
      const { source, outbox } = this.#context
      await agreeOnPartitions(store, { name: outbox.name, source, partitions: outbox.partitions })
      this.#checkedTables = true
    }
    this.#partitions.hold()
    if (options.manual) await this.#partitions.ready()
  }
}

const READ = { readOnly: true, isolation: 'read-committed' } as const
