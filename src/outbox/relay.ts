import { orAbort, throwIfAborted } from '../core/abort.ts'
import { type Background, Bell } from '../core/background.ts'
import { ConfigError, isHoldfastError } from '../core/errors.ts'
import { leaseTables, uniqueOwner } from '../lease/index.ts'
import { requireRevision } from '../store/migrations.ts'
import type { Store } from '../store/store.ts'
import { ChunkPublisher } from './chunk-publisher.ts'
import { Deleter } from './deleter.ts'
import { DrainWaiters } from './drain-waiters.ts'
import { RelayStoppedError } from './errors.ts'
import { FailureRecorder } from './failure-recorder.ts'
import { LaterMover } from './later-mover.ts'
import type { ResolvedOutboxOptions } from './outbox-options.ts'
import { PartitionTable } from './partition-table.ts'
import { Reader } from './reader.ts'
import type { RelayContext } from './relay-context.ts'
import { RelayCounts, type RelayFigures, type RelayRates } from './relay-figures.ts'
import { type RelayOptions, resolveRelayOptions } from './relay-options.ts'
import { readReady } from './relay-statements.ts'
import { nextRelayStep, type RelayState } from './relay-step.ts'
import { sourceOf } from './source.ts'
import { deadLetterTables, outboxTables } from './tables.ts'
import { Trouble } from './trouble.ts'
import { onCommitted } from './wake.ts'

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

/** Timers end at 2^31 ms; waking this often costs nothing. */
const WAIT_MAX_MS = 60_000

/**
 * The thin part: carries out what `nextRelayStep` decides. Reads are made one at a time by the loop; publishes run
 * beside it, one per partition; deletes are gathered by a loop of their own.
 */
export class OutboxRelay implements Relay {
  readonly done: Promise<void>
  readonly #context: RelayContext
  readonly #partitions: PartitionTable
  readonly #reader: Reader
  readonly #publisher: ChunkPublisher
  readonly #deleter: Deleter
  readonly #later: LaterMover
  readonly #waiters = new DrainWaiters()
  readonly #offCommitted: () => void
  #running: Promise<void> | undefined
  #started: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #settleDone: { resolve: () => void; reject: (error: unknown) => void }
  #checkedTables = false
  #pollEveryMs: number
  #nextPollAtMs = 0

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
    this.#reader = new Reader(this.#context, this.#partitions, read)
    this.#deleter = new Deleter(this.#context)
    this.#later = new LaterMover(this.#context, this.#partitions)
    const failures = new FailureRecorder(this.#context, this.#later)
    this.#publisher = new ChunkPublisher(this.#context, this.#deleter, failures)
    this.#pollEveryMs = options.pollMinMs
    this.#settleDone = { resolve: () => {}, reject: () => {} }
    this.done = new Promise<void>((resolve, reject) => {
      this.#settleDone = { resolve, reject }
    })
    this.done.catch(() => {}) // whoever waits for it still sees the error; nobody has to
    this.#offCommitted = onCommitted(store, outbox.name, (partitions) => this.#wake(partitions))
    const { signal } = options
    if (signal?.aborted) void this.stop({ drainMs: 0 })
    else signal?.addEventListener('abort', () => void this.stop({ drainMs: 0 }), { once: true })
    if (!options.manual && !this.#context.life.stopping) this.#running = this.#runForEver()
  }

  async drainOnce(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    throwIfAborted(options.signal)
    const { life, counts } = this.#context
    if (life.stopping) throw new ConfigError('relay.drainOnce', ['the relay was stopped'])
    const before = counts.relayed
    await orAbort(this.#context.options.manual ? this.#drainByHand() : this.#drainRunning(), options.signal)
    return counts.relayed - before
  }

  figures(): RelayFigures {
    const { owner, counts } = this.#context
    const { rates, ...numbers } = counts
    let blockedKeys = 0
    for (const partition of this.#partitions.all()) blockedKeys += partition.blockedCount
    const relayedPerSecond = rates.relayed.perSecond()
    return { owner, partitions: this.#partitions.size, ...numbers, relayedPerSecond, blockedKeys }
  }

  stop(options: { readonly drainMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#stop(options.drainMs ?? DRAIN_MS)
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(drainMs: number): Promise<void> {
    const { life, bell } = this.#context
    life.stopping = true
    this.#offCommitted()
    bell.ring()
    const abort = (): void => {
      life.aborted = true
      this.#partitions.abort(new RelayStoppedError())
      bell.ring()
    }
    const timer = setTimeout(abort, drainMs)
    try {
      await this.#running?.catch(() => {})
      await this.#settleInHand()
    } finally {
      clearTimeout(timer)
      abort()
    }
    await this.#partitions.release()
    this.#settleDone.resolve()
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
      while ((await this.#step()) !== 'end');
    } catch (error) {
      options.log.error('the relay ended', { outbox: outbox.name, error })
      life.stopping = true
      this.#offCommitted()
      this.#waiters.reject(error)
      this.#partitions.abort(error)
      await this.#settleInHand()
      await this.#partitions.release().catch(() => {})
      this.#settleDone.reject(error)
      return
    }
    this.#waiters.reject(new RelayStoppedError())
  }

  async #drainRunning(): Promise<void> {
    await this.#started
    await this.#partitions.ready()
    await this.#untilIdle()
  }

  /** Fulfils when a look at everything, begun after this call, has left nothing that could go. */
  #untilIdle(): Promise<void> {
    this.#context.trouble.forget()
    this.#later.nextAtMs = 0
    this.#nextPollAtMs = 0
    this.#context.bell.ring()
    return this.#waiters.wait()
  }

  async #drainByHand(): Promise<void> {
    await this.#hold()
    try {
      const idle = this.#untilIdle()
      idle.catch(() => {})
      while (this.#waiters.size > 0) {
        if ((await this.#step()) === 'end') this.#waiters.reject(new RelayStoppedError())
      }
      await idle
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
      this.#checkedTables = true
    }
    this.#partitions.hold()
    if (options.manual) await this.#partitions.ready()
  }

  #wake(partitions: readonly number[] | undefined): void {
    if (partitions === undefined) {
      this.#partitions.markAll()
      this.#later.nextAtMs = 0
    } else {
      this.#partitions.mark(partitions)
    }
    this.#context.bell.ring()
  }

  async #step(): Promise<'end' | undefined> {
    const { store, counts, options, bell } = this.#context
    this.#partitions.throwIfFailed()
    const nowMs = store.clock.monotonic()
    const step = nextRelayStep(this.#state(nowMs), nowMs)
    switch (step.kind) {
      case 'end':
        return 'end'
      case 'unblock':
        this.#partitions.unblock(nowMs)
        return
      case 'move-due':
        await this.#withTrouble(() => this.#later.move())
        return
      case 'poll': {
        this.#partitions.markAll()
        const found = await this.#withTrouble(() => this.#read())
        this.#pollEveryMs = found ? options.pollMinMs : Math.min(options.pollMaxMs, this.#pollEveryMs * 2)
        this.#nextPollAtMs = store.clock.monotonic() + this.#pollEveryMs
        return
      }
      case 'read':
        await this.#withTrouble(() => this.#read())
        return
      case 'wait':
        if (counts.inHand === 0 && this.#publisher.idle) this.#endDrain()
        await bell.wait(Math.min(step.untilMs - nowMs, WAIT_MAX_MS))
    }
  }

  #endDrain(): void {
    const { last } = this.#context.trouble
    if (last === undefined) this.#waiters.resolve()
    else this.#waiters.reject(last)
  }

  #state(nowMs: number): RelayState {
    const { life, counts, options, trouble } = this.#context
    let readable = 0
    let nextUnblockAtMs = Number.POSITIVE_INFINITY
    for (const partition of this.#partitions.all()) {
      if (partition.isReadable(nowMs)) readable++
      nextUnblockAtMs = Math.min(nextUnblockAtMs, partition.nextUnblockMs)
    }
    const { batchSize, inFlight } = options
    return {
      stopping: life.stopping,
      inHand: counts.inHand,
      inHandMax: batchSize * (inFlight - 1),
      readable,
      resumeAtMs: trouble.resumeAtMs,
      nextPollAtMs: this.#partitions.size === 0 ? Number.POSITIVE_INFINITY : this.#nextPollAtMs,
      nextLaterAtMs: this.#partitions.size === 0 ? Number.POSITIVE_INFINITY : this.#later.nextAtMs,
      nextUnblockAtMs,
    }
  }

  /** Runs a step that needs the store; when the store is out of reach, the relay waits and goes on. */
  async #withTrouble<T>(step: () => Promise<T>): Promise<T | undefined> {
    try {
      return await step()
    } catch (error) {
      if (isForPeople(error)) throw error
      this.#context.trouble.meet('the relay could not read the outbox and tries again', error)
      return undefined
    }
  }

  /** Reads once and sends on its way what was found. True when there was something. */
  async #read(): Promise<boolean> {
    const chunks = await this.#reader.read()
    for (const chunk of chunks) this.#publisher.send(chunk)
    return chunks.length > 0
  }
}

const READ = { readOnly: true, isolation: 'read-committed' } as const

/** Errors that waiting does not mend. */
function isForPeople(error: unknown): boolean {
  return isHoldfastError(error) && ['SCHEMA_REVISION', 'CONFIG_INVALID', 'UNSUPPORTED'].includes(error.code)
}
