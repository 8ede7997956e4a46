import type { Broker, Message, Publisher, PublishResult } from '../broker/broker.ts'
import { orAbort, throwIfAborted } from '../core/abort.ts'
import { type Background, Bell } from '../core/background.ts'
import { backoffMs } from '../core/backoff.ts'
import { ConfigError, isHoldfastError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import { type HeldLease, leaseTables, uniqueOwner } from '../lease/index.ts'
import { requireRevision } from '../store/migrations.ts'
import type { SqlValue } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import { RelayStoppedError } from './errors.ts'
import { holdPartitions, type PartitionHolding } from './hold-partitions.ts'
import type { ResolvedOutboxOptions } from './outbox-options.ts'
import { Partition } from './partition.ts'
import type { Rate } from './rate.ts'
import { recordFailures } from './record-failures.ts'
import { type RelayOptions, type ResolvedRelayOptions, resolveRelayOptions } from './relay-options.ts'
import {
  deleteMessages,
  findStanding,
  lockFree,
  lockLater,
  moveLater,
  type ReadyRow,
  readLater,
  readReady,
  toMessage,
} from './relay-statements.ts'
import { nextRelayStep, type RelayState } from './relay-step.ts'
import { settle } from './settle.ts'
import { sourceOf } from './source.ts'
import { deadLetterTables, outboxTables } from './tables.ts'
import { onCommitted } from './wake.ts'

/** What a relay has done since it started. */
export interface RelayFigures {
  readonly owner: string
  /** Partitions that this relay holds now. */
  readonly partitions: number
  /** Messages that the broker stored. */
  readonly relayed: number
  readonly relayedPerSecond: number
  /** Attempts that the broker refused. */
  readonly retries: number
  readonly deadLetters: number
  /** Keys whose later messages wait. */
  readonly blockedKeys: number
  /** Messages on their way. */
  readonly inHand: number
  /** Reads of the outbox, those of `emptyReads` included. */
  readonly reads: number
  readonly emptyReads: number
}

export interface Relay extends Background {
  /**
   * Relays until nothing is left that could go now: what the broker refused, what is delayed, and what partitions of
   * other relays hold stays. Gives the number of messages that the broker stored meanwhile.
   * @throws BrokerUnavailableError, or an error of the store, when it could not go on
   */
  drainOnce(options?: { readonly signal?: AbortSignal }): Promise<number>
  figures(): RelayFigures
}

/** The rates of the outbox that a relay adds to. */
export interface RelayRates {
  readonly relayed: Rate
  readonly retries: Rate
}

/** The wait after the broker or the store was out of reach. No attempt of any message is counted then. */
const TROUBLE_BACKOFF = { baseMs: 50, capMs: 5_000 }

/** The longest that a delayed message of another process can be overlooked. */
const LATER_POLL_MS = 1_000

/** Delayed messages made ready by one transaction. */
const MOVE_MAX = 500

/** Rows deleted by one transaction. */
const DELETE_MAX = 5_000

/** How long `stop` waits when it is not told. */
const DRAIN_MS = 5_000

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * The thin part: carries out what `nextRelayStep` decides. Reads are made one at a time by the loop; publishes run
 * beside it, one per partition; deletes are gathered by a loop of their own, so that a slow COMMIT delays neither.
 */
export class OutboxRelay implements Relay {
  readonly done: Promise<void>
  readonly #store: Store
  readonly #outbox: ResolvedOutboxOptions
  readonly #options: ResolvedRelayOptions
  readonly #broker: Broker
  readonly #rates: RelayRates
  readonly #readReady: typeof readReady
  readonly #scope: string
  readonly #owner: string
  readonly #bell = new Bell()
  readonly #partitions = new Map<number, Partition>()
  readonly #offCommitted: () => void
  readonly #flights = new Set<Promise<void>>()
  readonly #toDelete: Stored[] = []
  #deletes: Promise<void> | undefined
  #waiters: Waiter[] = []
  #holding: PartitionHolding | undefined
  #running: Promise<void> | undefined
  #started: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #settleDone: { resolve: () => void; reject: (error: unknown) => void }
  #stopping = false
  #aborted = false
  #checkedTables = false
  #fatal: unknown
  #inHand = 0
  /** Where the next read begins, so that each partition is served first in turn. */
  #turn = 0
  #resumeAtMs = 0
  #troubles = 0
  #trouble: unknown
  #pollEveryMs: number
  #nextPollAtMs = 0
  #nextLaterAtMs = 0
  #relayed = 0
  #retries = 0
  #deadLetters = 0
  #reads = 0
  #emptyReads = 0

  /** `read` stands in for `readReady` in tests that show what its rules are for. */
  constructor(
    store: Store,
    outbox: ResolvedOutboxOptions,
    given: RelayOptions,
    rates: RelayRates,
    read: typeof readReady = readReady,
  ) {
    this.#readReady = read
    this.#store = store
    this.#outbox = outbox
    this.#options = resolveRelayOptions(given)
    this.#broker = this.#options.broker
    this.#rates = rates
    this.#scope = sourceOf(outbox.name)
    this.#owner = this.#options.owner ?? uniqueOwner()
    this.#pollEveryMs = this.#options.pollMinMs
    this.#settleDone = { resolve: () => {}, reject: () => {} }
    this.done = new Promise<void>((resolve, reject) => {
      this.#settleDone = { resolve, reject }
    })
    this.done.catch(() => {}) // whoever waits for it still sees the error; nobody has to
    this.#offCommitted = onCommitted(store, outbox.name, (partitions) => this.#wake(partitions))
    const { signal } = this.#options
    if (signal?.aborted) void this.stop({ drainMs: 0 })
    else signal?.addEventListener('abort', () => void this.stop({ drainMs: 0 }), { once: true })
    if (!this.#options.manual && !this.#stopping) this.#running = this.#runForEver()
  }

  async drainOnce(options: { readonly signal?: AbortSignal } = {}): Promise<number> {
    throwIfAborted(options.signal)
    if (this.#stopping) throw new ConfigError('relay.drainOnce', ['the relay was stopped'])
    const before = this.#relayed
    await orAbort(this.#options.manual ? this.#drainByHand() : this.#drainRunning(), options.signal)
    return this.#relayed - before
  }

  figures(): RelayFigures {
    let blockedKeys = 0
    for (const partition of this.#partitions.values()) blockedKeys += partition.blockedCount
    return {
      owner: this.#owner,
      partitions: this.#partitions.size,
      relayed: this.#relayed,
      relayedPerSecond: this.#rates.relayed.perSecond(),
      retries: this.#retries,
      deadLetters: this.#deadLetters,
      blockedKeys,
      inHand: this.#inHand,
      reads: this.#reads,
      emptyReads: this.#emptyReads,
    }
  }

  stop(options: { readonly drainMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#stop(options.drainMs ?? DRAIN_MS)
    return this.#stopped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(drainMs: number): Promise<void> {
    this.#stopping = true
    this.#offCommitted()
    this.#bell.ring()
    const abort = (): void => {
      this.#aborted = true
      for (const partition of this.#partitions.values()) partition.aborter.abort(new RelayStoppedError())
      this.#bell.ring()
    }
    const timer = setTimeout(abort, drainMs)
    try {
      await this.#running?.catch(() => {})
      await this.#settleInHand()
    } finally {
      clearTimeout(timer)
      abort()
    }
    await this.#release()
    this.#settleDone.resolve()
  }

  async #settleInHand(): Promise<void> {
    while (this.#flights.size > 0) await Promise.all(this.#flights)
    await this.#deletes
  }

  /** `done` rejects when the relay meets what waiting cannot mend: missing tables, options that cannot work. */
  async #runForEver(): Promise<void> {
    try {
      this.#started = this.#hold()
      await this.#started
      while ((await this.#step()) !== 'end');
    } catch (error) {
      this.#options.log.error('the relay ended', { outbox: this.#outbox.name, error })
      this.#stopping = true
      this.#offCommitted()
      this.#rejectWaiters(error)
      for (const partition of this.#partitions.values()) partition.aborter.abort(error)
      await this.#settleInHand()
      await this.#release().catch(() => {})
      this.#settleDone.reject(error)
      return
    }
    this.#rejectWaiters(new RelayStoppedError())
  }

  async #drainRunning(): Promise<void> {
    await this.#started
    await this.#holding?.ready
    await this.#untilIdle()
  }

  /** Fulfils when a look at everything, begun after this call, has left nothing that could go. */
  #untilIdle(): Promise<void> {
    this.#trouble = undefined
    this.#nextLaterAtMs = 0
    this.#nextPollAtMs = 0
    this.#bell.ring()
    return new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  async #drainByHand(): Promise<void> {
    await this.#hold()
    try {
      const idle = this.#untilIdle()
      idle.catch(() => {})
      while (this.#waiters.length > 0) {
        if ((await this.#step()) === 'end') this.#rejectWaiters(new RelayStoppedError())
      }
      await idle
    } finally {
      await this.#settleInHand()
      await this.#release()
    }
  }

  async #hold(): Promise<void> {
    if (!this.#checkedTables) {
      await this.#store.transaction(async (tx) => {
        for (const set of [outboxTables, deadLetterTables, leaseTables]) await requireRevision(tx, set)
      }, READ)
      this.#checkedTables = true
    }
    this.#holding = holdPartitions(this.#store, {
      scope: this.#scope,
      count: this.#outbox.partitions,
      owner: this.#owner,
      ttlMs: this.#options.ttlMs,
      share: !this.#options.manual,
      log: this.#options.log,
      onGained: (id, lease) => {
        this.#partitions.set(id, new Partition(id, lease))
        this.#bell.ring()
      },
      onDrain: (id) => this.#leave(id),
      onLost: (id, lease) => this.#lose(id, lease),
      onFailed: (error) => {
        this.#fatal = error
        this.#bell.ring()
      },
    })
    if (this.#options.manual) await this.#holding.ready
  }

  /** The next relay then finds nothing that this one has published. */
  async #leave(id: number): Promise<void> {
    const partition = this.#partitions.get(id)
    if (partition === undefined) return
    partition.leaving = true
    while ((partition.busy || partition.deleting.size > 0) && !partition.aborter.signal.aborted) {
      await Promise.race(this.#deletes === undefined ? this.#flights : [...this.#flights, this.#deletes])
    }
  }

  /** What is being published is not waited for: its rows are the next holder's by now. */
  #lose(id: number, lease: HeldLease): void {
    const partition = this.#partitions.get(id)
    if (partition?.lease !== lease) return
    this.#partitions.delete(id)
    partition.aborter.abort(lease.signal.reason)
    this.#bell.ring()
  }

  async #release(): Promise<void> {
    const holding = this.#holding
    this.#holding = undefined
    await holding?.stop()
  }

  #wake(partitions: readonly number[] | undefined): void {
    if (partitions === undefined) {
      for (const partition of this.#partitions.values()) partition.dirty = true
      this.#nextLaterAtMs = 0
    } else {
      for (const id of partitions) {
        const partition = this.#partitions.get(id)
        if (partition !== undefined) partition.dirty = true
      }
    }
    this.#bell.ring()
  }

  async #step(): Promise<'end' | undefined> {
    const { clock } = this.#store
    if (this.#fatal !== undefined) throw this.#fatal
    const nowMs = clock.monotonic()
    const step = nextRelayStep(this.#state(nowMs), nowMs)
    switch (step.kind) {
      case 'end':
        return 'end'
      case 'unblock':
        for (const partition of this.#partitions.values()) partition.unblock(nowMs)
        return
      case 'move-due':
        await this.#withTrouble(() => this.#moveDue())
        return
      case 'poll': {
        for (const partition of this.#partitions.values()) partition.dirty = true
        const found = await this.#withTrouble(() => this.#read())
        const { pollMinMs, pollMaxMs } = this.#options
        this.#pollEveryMs = found ? pollMinMs : Math.min(pollMaxMs, this.#pollEveryMs * 2)
        this.#nextPollAtMs = clock.monotonic() + this.#pollEveryMs
        return
      }
      case 'read':
        await this.#withTrouble(() => this.#read())
        return
      case 'wait':
        if (this.#inHand === 0 && this.#flights.size === 0) this.#resolveWaiters()
        await this.#bell.wait(Math.min(step.untilMs - nowMs, WAIT_MAX_MS))
    }
  }

  #state(nowMs: number): RelayState {
    let readable = 0
    let nextUnblockAtMs = Number.POSITIVE_INFINITY
    for (const partition of this.#partitions.values()) {
      if (partition.isReadable(nowMs)) readable++
      nextUnblockAtMs = Math.min(nextUnblockAtMs, partition.nextUnblockMs)
    }
    const { batchSize, inFlight } = this.#options
    return {
      stopping: this.#stopping,
      inHand: this.#inHand,
      inHandMax: batchSize * (inFlight - 1),
      readable,
      resumeAtMs: this.#resumeAtMs,
      nextPollAtMs: this.#partitions.size === 0 ? Number.POSITIVE_INFINITY : this.#nextPollAtMs,
      nextLaterAtMs: this.#partitions.size === 0 ? Number.POSITIVE_INFINITY : this.#nextLaterAtMs,
      nextUnblockAtMs,
    }
  }

  #resolveWaiters(): void {
    const waiters = this.#waiters
    if (waiters.length === 0) return
    if (this.#trouble !== undefined) {
      this.#rejectWaiters(this.#trouble)
      return
    }
    this.#waiters = []
    for (const waiter of waiters) waiter.resolve()
  }

  #rejectWaiters(error: unknown): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.reject(error)
  }

  /** Runs a step that needs the store; when the store is out of reach, the relay waits and goes on. */
  async #withTrouble<T>(step: () => Promise<T>): Promise<T | undefined> {
    try {
      return await step()
    } catch (error) {
      if (isForPeople(error)) throw error
      this.#meetTrouble('the relay could not read the outbox and tries again', error)
      return undefined
    }
  }

  #meetTrouble(message: string, error: unknown): void {
    const { clock } = this.#store
    const nowMs = clock.monotonic()
    this.#trouble = error
    // Several publishes that fail together are one trouble.
    if (nowMs < this.#resumeAtMs) return
    this.#troubles++
    const waitMs = backoffMs(this.#troubles, TROUBLE_BACKOFF, clock)
    this.#resumeAtMs = nowMs + waitMs
    this.#options.log.warn(message, { outbox: this.#outbox.name, waitMs: Math.round(waitMs), error })
  }

  /** Reads once and sends on its way what was found. True when there was something. */
  async #read(): Promise<boolean> {
    const { clock, dialect } = this.#store
    const { batchSize } = this.#options
    const nowMs = clock.monotonic()
    const served = this.#nextServed(nowMs)
    if (served.length === 0) return false
    const exceptSequences: SqlValue[] = []
    const exceptKeys: string[] = []
    for (const partition of served) {
      // Before the read, so that a commit that rings while it runs is not lost.
      partition.dirty = false
      exceptSequences.push(...partition.deleting)
      exceptKeys.push(...partition.blockedKeys)
    }
    this.#reads++
    let rows: ReadyRow[]
    try {
      const request = {
        name: this.#outbox.name,
        partitions: served.map((p) => p.id),
        limit: batchSize,
        exceptSequences,
        exceptKeys,
      }
      rows = await this.#store.read<ReadyRow>(this.#readReady(this.#store, request))
    } catch (error) {
      for (const partition of served) partition.dirty = true
      throw error
    }
    await failpoint('outbox.relay.read')
    if (rows.length === 0) {
      this.#emptyReads++
      return false
    }
    const chunks = byPartition(rows)
    if (rows.length >= batchSize) {
      // Those behind the last one that was served, and the last one itself, may have more.
      const last = dialect.lateral ? served.findIndex((p) => p.id === rows.at(-1)?.partition) : 0
      for (const partition of served.slice(last)) partition.dirty = true
    }
    for (const partition of served) {
      const chunk = chunks.get(partition.id)
      if (chunk !== undefined) this.#send(partition, chunk)
    }
    return true
  }

  #nextServed(nowMs: number): Partition[] {
    const all = [...this.#partitions.values()].filter((p) => p.isReadable(nowMs)).sort((a, b) => a.id - b.id)
    // Those whose deletes are done come first, since they need no exceptions; the others will be so in a moment.
    const clean = all.filter((p) => p.deleting.size === 0)
    const readable = clean.length > 0 ? clean : all
    if (readable.length <= 1) return readable
    const first = Math.max(
      0,
      readable.findIndex((p) => p.id >= this.#turn),
    )
    this.#turn = ((readable[first] as Partition).id + 1) % this.#outbox.partitions
    return [...readable.slice(first), ...readable.slice(0, first)]
  }

  #send(partition: Partition, rows: readonly ReadyRow[]): void {
    const admitted = partition.admit(rows, this.#store.clock.monotonic())
    if (admitted.length === 0) return
    partition.busy = true
    this.#inHand += admitted.length
    const flight = this.#relay(partition, admitted).finally(() => {
      partition.busy = false
      this.#flights.delete(flight)
      this.#bell.ring()
    })
    this.#flights.add(flight)
  }

  /** Publishes what was read of one partition. Never rejects. */
  async #relay(partition: Partition, rows: readonly ReadyRow[]): Promise<void> {
    let left = rows.length
    try {
      const results = await this.#publish(partition, rows)
      await failpoint('outbox.relay.published')
      const { stored, refused, unknown } = settle(rows, results)
      if (stored.length > 0) {
        left -= stored.length
        this.#relayed += stored.length
        this.#rates.relayed.add(stored.length)
        this.#troubles = 0
        for (const row of stored) partition.deleting.add(row.sequence)
        this.#toDelete.push({ partition, rows: stored, contended: false })
        this.#deletes ??= this.#deleteStored()
      }
      if (stored.length < rows.length) partition.dirty = true
      if (unknown !== undefined) this.#pause(partition, unknown.error)
      else partition.silences = 0
      if (refused.length > 0) await this.#recordFailures(partition, refused)
    } catch (error) {
      partition.dirty = true
      if (!partition.aborter.signal.aborted) {
        this.#meetTrouble('the relay could not publish and tries again', error)
      }
    } finally {
      this.#inHand -= left
    }
  }

  async #publish(partition: Partition, rows: readonly ReadyRow[]): Promise<readonly PublishResult[]> {
    const { signal } = partition.aborter
    if (!partition.lease.isHeld()) throw new RelayStoppedError()
    const publisher: Publisher = {
      scope: this.#scope,
      partition: String(partition.id),
      epoch: partition.lease.epoch,
    }
    const batch: Message[] = rows.map(toMessage)
    return await this.#broker.publish(batch, { signal, publisher })
  }

  /** No answer, though nothing before it had failed: the broker is asked again later, and no attempt is counted. */
  #pause(partition: Partition, error: unknown): void {
    const { clock } = this.#store
    partition.silences++
    const waitMs = backoffMs(partition.silences, TROUBLE_BACKOFF, clock)
    partition.pause(clock.monotonic() + waitMs)
    this.#trouble = error
    this.#options.log.warn('the broker gave no answer for a message; it may be stored', {
      outbox: this.#outbox.name,
      partition: partition.id,
      waitMs: Math.round(waitMs),
      error,
    })
  }

  async #recordFailures(
    partition: Partition,
    refused: readonly { readonly row: ReadyRow; readonly error: unknown }[],
  ): Promise<void> {
    if (!partition.lease.isHeld()) return
    const { clock } = this.#store
    const failures = refused.map(({ row, error }) => {
      const topic = this.#outbox.topics.get(row.topic)
      const attempts = row.attempts + 1
      if (attempts >= (topic?.attemptsMax ?? this.#options.attemptsMax)) {
        return { row, error, fate: 'give-up', delayMs: 0 } as const
      }
      const delayMs = backoffMs(attempts, this.#options.backoff, clock)
      // Without a key there is no order to keep.
      const waits = row.key !== null && topic?.onFailure !== 'skip'
      return { row, error, fate: waits ? 'wait' : 'aside', delayMs } as const
    })
    const recorded = await recordFailures(
      this.#store,
      { name: this.#outbox.name, source: this.#scope },
      failures,
    )
    await failpoint('outbox.relay.failures.recorded')
    const nowMs = clock.monotonic()
    for (const { row, error, fate, delayMs } of recorded) {
      const fields = {
        outbox: this.#outbox.name,
        topic: row.topic,
        id: row.message_id,
        attempts: row.attempts + 1,
        error,
      }
      if (fate === 'give-up') {
        this.#deadLetters++
        this.#options.log.error('a message became a dead letter', fields)
        continue
      }
      this.#retries++
      this.#rates.retries.add(1)
      this.#options.log.warn('the broker refused a message; it is tried again', fields)
      if (fate === 'wait' && row.key !== null) partition.block(row.key, nowMs + delayMs)
      else this.#nextLaterAtMs = Math.min(this.#nextLaterAtMs, nowMs + delayMs)
    }
  }

  /** One transaction deletes all that was stored since the last one began. Never rejects. */
  async #deleteStored(): Promise<void> {
    const { clock } = this.#store
    for (let tries = 1; this.#toDelete.length > 0; ) {
      const batch = this.#nextDeletes()
      const rows = batch.length === 1 ? (batch[0] as Stored).rows : batch.flatMap((b) => b.rows)
      let stuck: ReadonlySet<string> = NONE_STUCK
      try {
        stuck = await this.#delete(rows, batch.some((b) => b.contended) || tries > 1)
        await failpoint('outbox.relay.deleted')
      } catch (error) {
        // They stay in hand, so they are not sent again by this relay; after a crash they are, which is the promise.
        if (this.#aborted) break
        this.#options.log.warn('the relay could not delete what the broker stored and tries again', { error })
        await this.#pauseDeletes(backoffMs(tries++, TROUBLE_BACKOFF, clock))
        continue
      }
      tries = 1
      this.#toDelete.splice(0, batch.length)
      for (const stored of batch) {
        const left = stored.rows.filter((row) => stuck.has(String(row.sequence)))
        for (const row of stored.rows) {
          if (!stuck.has(String(row.sequence))) stored.partition.deleting.delete(row.sequence)
        }
        if (!stored.contended) this.#inHand -= stored.rows.length
        if (left.length > 0)
          void this.#deleteLater({ partition: stored.partition, rows: left, contended: true })
      }
      this.#bell.ring()
    }
    this.#deletes = undefined
  }

  #nextDeletes(): Stored[] {
    let taken = 0
    for (let count = 0; taken < this.#toDelete.length && count < DELETE_MAX; taken++) {
      count += (this.#toDelete[taken] as Stored).rows.length
    }
    return this.#toDelete.slice(0, taken)
  }

  /**
   * Deletes the rows and gives the numbers of those that it could not.
   *
   * A process that was frozen in this very transaction, and whose partition this relay took over, keeps its locks on
   * rows that are stored by now a second time. Rather than wait for it, `aroundLocks` leaves them.
   */
  async #delete(rows: readonly ReadyRow[], aroundLocks: boolean): Promise<ReadonlySet<string>> {
    const store = this.#store
    const { name } = this.#outbox
    return store.transaction(async (tx) => {
      if (!aroundLocks) {
        await tx.execute(deleteMessages(store, name, rows))
        await failpoint('outbox.relay.deleting')
        return NONE_STUCK
      }
      const free = await tx.query<ReadyRow>(lockFree(store, name, rows))
      if (free.length > 0) await tx.execute(deleteMessages(store, name, free))
      const standing = await tx.query<ReadyRow>(findStanding(store, name, rows))
      return new Set(standing.map((row) => String(row.sequence)))
    }, DELETE)
  }

  /** They count no longer as in hand, but are not read again either while this relay holds the partition. */
  async #deleteLater(stored: Stored): Promise<void> {
    await this.#pauseDeletes(DELETE_AGAIN_MS)
    if (this.#stopping || stored.partition.aborter.signal.aborted) return
    this.#toDelete.push(stored)
    this.#deletes ??= this.#deleteStored()
  }

  async #pauseDeletes(ms: number): Promise<void> {
    const endMs = this.#store.clock.monotonic() + ms
    while (!this.#stopping && this.#store.clock.monotonic() < endMs) {
      await this.#store.clock.sleep(Math.min(50, ms))
    }
  }

  /** Makes what is due ready, and finds out when to look again. */
  async #moveDue(): Promise<void> {
    const store = this.#store
    const { clock } = store
    const partitions = [...this.#partitions.keys()].sort((a, b) => a - b)
    const first = await store.read<{ id: SqlValue; wait_ms: SqlValue }>(
      readLater(store, this.#outbox.name, partitions, MOVE_MAX),
    )
    const due = first.filter((row) => Number(row.wait_ms) <= 0)
    if (due.length > 0) {
      await store.transaction(async (tx) => {
        const locked = await tx.query<{ id: SqlValue }>(
          lockLater(
            store,
            due.map((row) => row.id),
          ),
        )
        if (locked.length === 0) return
        const [insert, remove] = moveLater(
          store,
          locked.map((row) => row.id),
        )
        await tx.execute(insert)
        await failpoint('outbox.relay.moving')
        await tx.execute(remove)
      }, DELETE)
      await failpoint('outbox.relay.moved')
      for (const partition of this.#partitions.values()) partition.dirty = true
    }
    const next = first[due.length]
    const waitMs =
      first.length === MOVE_MAX && next === undefined ? 0 : Number(next?.wait_ms ?? LATER_POLL_MS)
    this.#nextLaterAtMs = clock.monotonic() + Math.min(waitMs, LATER_POLL_MS)
  }
}

const READ = { readOnly: true, isolation: 'read-committed' } as const
/** Bounded, since the rows may be locked by a process that was frozen. */
const DELETE = { isolation: 'read-committed', timeoutMs: 2_000 } as const

/** How long rows that another transaction has locked are left alone. */
const DELETE_AGAIN_MS = 1_000

const NONE_STUCK: ReadonlySet<string> = new Set()

/** Messages that the broker stored, to be deleted. */
interface Stored {
  readonly partition: Partition
  readonly rows: readonly ReadyRow[]
  /** Some of them were locked by another transaction the last time. */
  readonly contended: boolean
}

/** Timers end at 2^31 ms; waking this often costs nothing. */
const WAIT_MAX_MS = 60_000

/** Errors that waiting does not mend. */
function isForPeople(error: unknown): boolean {
  return isHoldfastError(error) && ['SCHEMA_REVISION', 'CONFIG_INVALID', 'UNSUPPORTED'].includes(error.code)
}

function byPartition(rows: readonly ReadyRow[]): Map<number, ReadyRow[]> {
  const chunks = new Map<number, ReadyRow[]>()
  let id: number | undefined
  let chunk: ReadyRow[] = []
  for (const row of rows) {
    if (row.partition !== id) {
      id = row.partition
      chunk = chunks.get(id) ?? []
      chunks.set(id, chunk)
    }
    chunk.push(row)
  }
  return chunks
}
