import { isForPeople } from '../core/errors.ts'
import { PollPace } from '../core/poll-pace.ts'
import type { ChunkPublisher } from './chunk-publisher.ts'
import { DirectHand, type Offer } from './direct.ts'
import { DrainWaiters } from './drain-waiters.ts'
import { RelayStoppedError } from './errors.ts'
import { LARGE_BYTES_MAX } from './large-payloads.ts'
import { LATER_POLL_MS, type LaterMover } from './later-mover.ts'
import type { OutboxRow } from './message.ts'
import type { PartitionTable } from './partition-table.ts'
import type { Chunk, Reader } from './reader.ts'
import { RecentIds } from './recent-ids.ts'
import type { RelayContext } from './relay-context.ts'
import { type Glance, glance } from './relay-statements.ts'
import { nextRelayStep, type RelayState } from './relay-step.ts'
import type { LocalRelay } from './wake.ts'

/** Timers end at 2^31 ms; waking this often costs nothing. */
const WAIT_MAX_MS = 60_000

/**
 * Reads that find little begin at least this far apart, so that thousands of commits a second share reads instead of
 * paying for one each. A commit that comes alone is read at once.
 */
const READ_EVERY_MS = 2

/** What counts as little. */
const FEW = 100

/** From this pause on, a poll first asks whether there is anything, ready or delayed, by one statement. */
const GLANCE_FROM_MS = 100

interface RelayParts {
  readonly partitions: PartitionTable
  readonly reader: Reader
  readonly publisher: ChunkPublisher
  readonly later: LaterMover
  /** Commits of other processes are heard of, so that the poll is only a safety net. */
  readonly isListening: () => boolean
}

/**
 * The thin part: carries out what `nextRelayStep` decides. Reads are made one at a time by this loop; publishes run
 * beside it, one per partition; deletes are gathered by a loop of their own.
 */
export class RelayLoop implements LocalRelay {
  readonly #context: RelayContext
  readonly #parts: RelayParts
  readonly #pace = new PollPace()
  #nextReadAtMs = 0
  readonly #waiters = new DrainWaiters()
  /** Of this process, the last ones. */
  readonly #own = new RecentIds()
  readonly #direct: DirectHand

  constructor(context: RelayContext, parts: RelayParts) {
    this.#context = context
    this.#parts = parts
    this.#direct = new DirectHand(context, (chunk) => parts.publisher.send(chunk))
  }

  /** Ends when the relay is told to stop. @throws what waiting cannot mend */
  async run(): Promise<void> {
    while ((await this.#step()) !== 'end');
    this.#waiters.reject(new RelayStoppedError())
  }

  /** Runs until nothing is left that could go now. */
  async runUntilIdle(): Promise<void> {
    const idle = this.untilIdle()
    idle.catch(() => {})
    while (this.#waiters.size > 0) {
      if ((await this.#step()) === 'end') this.#waiters.reject(new RelayStoppedError())
    }
    await idle
  }

  /** Fulfils when a look at everything, begun after this call, has left nothing that could go; `run` is running. */
  untilIdle(): Promise<void> {
    this.#context.trouble.forget()
    this.#parts.later.nextAtMs = 0
    this.#pace.lookNow()
    this.#context.bell.ring()
    return this.#waiters.wait()
  }

  /** Tells those who wait for the relay to be idle that it ended. */
  fail(error: unknown): void {
    this.#waiters.reject(error)
  }

  expect(id: string): void {
    this.#own.add(id)
  }

  offer(rows: readonly OutboxRow[]): Offer | undefined {
    return this.#direct.offer(this.#parts.partitions.get(rows[0]?.partition as number), rows)
  }

  /** Messages of these partitions were committed; undefined means any, and delayed ones. True when all are held here. */
  wake(partitions: readonly number[] | undefined): boolean {
    if (partitions === undefined) {
      this.#parts.partitions.markAll()
      this.#parts.later.nextAtMs = 0
    } else {
      this.#parts.partitions.mark(partitions)
    }
    this.#context.bell.ring()
    return this.#parts.partitions.holds(partitions)
  }

  /** Like `wake`, for what was committed elsewhere; undefined means that something may have been missed. */
  hear(partitions: readonly number[] | undefined): void {
    if (partitions === undefined) this.#pace.lookNow()
    this.wake(partitions)
  }

  async #step(): Promise<'end' | undefined> {
    const { store, counts, options, bell } = this.#context
    this.#parts.partitions.throwIfFailed()
    const nowMs = store.clock.monotonic()
    const state = this.#state(nowMs)
    const step = nextRelayStep(state, nowMs)
    switch (step.kind) {
      case 'end':
        return 'end'
      case 'unblock':
        this.#parts.partitions.unblock(nowMs)
        return
      case 'move-due':
        await this.#withTrouble(() => this.#parts.later.move())
        return
      case 'poll': {
        const isQuiet = state.readable === 0 && this.#pace.pauseMs >= GLANCE_FROM_MS
        const empty = isQuiet && (await this.#withTrouble(() => this.#glance())) !== true
        const found = !empty && (await this.#poll())
        const { pollMinMs: minMs, pollMaxMs, pollMaxListeningMs } = options
        const maxMs = this.#parts.isListening() ? pollMaxListeningMs : pollMaxMs
        this.#pace.looked(found, store.clock.monotonic(), { minMs, maxMs })
        return
      }
      case 'read':
        await this.#withTrouble(() => this.#read())
        return
      case 'wait':
        // What is readable either waits a moment for company, and comes yet, or waits for the trouble to end.
        if (
          counts.inHand === 0 &&
          this.#parts.publisher.idle &&
          (state.readable === 0 || nowMs < state.resumeAtMs)
        ) {
          this.#endDrain()
        }
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
    for (const partition of this.#parts.partitions.all()) {
      if (partition.isReadable(nowMs)) readable++
      nextUnblockAtMs = Math.min(nextUnblockAtMs, partition.nextUnblockMs)
    }
    const { batchSize, inFlight } = options
    return {
      stopping: life.stopping,
      inHand: counts.inHand,
      inHandMax: batchSize * (inFlight - 1),
      largeBytes: counts.largeBytes,
      largeBytesMax: LARGE_BYTES_MAX * (inFlight - 1),
      readable,
      resumeAtMs: trouble.resumeAtMs,
      nextReadAtMs: this.#nextReadAtMs,
      nextPollAtMs: this.#parts.partitions.size === 0 ? Number.POSITIVE_INFINITY : this.#pace.nextAtMs,
      nextLaterAtMs:
        this.#parts.partitions.size === 0 ? Number.POSITIVE_INFINITY : this.#parts.later.nextAtMs,
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

  /** Reads all partitions; true when another process had published something. */
  async #poll(): Promise<boolean> {
    const announced = this.#parts.partitions.markAll()
    const chunks = (await this.#withTrouble(() => this.#read())) ?? []
    // What a commit of this process announced, or is about to, says nothing of other processes.
    return chunks.some(
      ({ partition, rows }) =>
        !announced.has(partition) && rows.some((row) => !this.#own.has(row.message_id)),
    )
  }

  /** True when there is anything to read. Spares the look for delayed messages too: it is the same statement. */
  async #glance(): Promise<boolean> {
    const { store, outbox, counts } = this.#context
    const { later, partitions } = this.#parts
    const askedAtMs = store.clock.monotonic()
    // Before the read, as in `move`. The next glance comes well before that, unless something was found.
    later.nextAtMs = askedAtMs + 2 * this.#pace.pauseMs + LATER_POLL_MS
    counts.reads++
    const [seen] = await store.read<Glance>(glance(store, outbox.name, partitions.ids()))
    if (seen?.later_ms != null) later.lookBy(store.clock.monotonic() + Math.max(0, Number(seen.later_ms)))
    const isReady = Number(seen?.ready) === 1
    if (!isReady) counts.emptyReads++
    return isReady
  }

  /** Reads once and sends on its way what was found. */
  async #read(): Promise<readonly Chunk[]> {
    const { clock } = this.#context.store
    const beganMs = clock.monotonic()
    const chunks = await this.#parts.reader.read()
    const found = chunks.reduce((sum, { rows }) => sum + rows.length, 0)
    this.#nextReadAtMs = found < Math.min(FEW, this.#context.options.batchSize) ? beganMs + READ_EVERY_MS : 0
    for (const chunk of chunks) this.#parts.publisher.send(chunk)
    return chunks
  }
}
