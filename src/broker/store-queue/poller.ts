import { Bell } from '../../core/background.ts'
import { backoffMs } from '../../core/backoff.ts'
import type { Log } from '../../core/log.ts'
import { PollPace } from '../../core/poll-pace.ts'
import type { Store } from '../../store/store.ts'
import { type LogEntry, RANGES_MAX, type Range, readEnds, readRanges } from './read.ts'

/** One partition that somebody reads: what the poller needs to know of a subscription. */
export interface Feed {
  readonly partitionId: bigint
  readonly prefetch: number
  /** The offset to read next. */
  readonly next: bigint
  /** Messages that may be handed out now. */
  readonly room: number
  /** Does nothing once the subscription is closed. */
  accept(entries: readonly LogEntry[]): void
  /** There is nothing below `offset` that was not handed out. */
  skipTo(offset: bigint): void
  /** The subscription cannot go on. */
  fail(error: unknown): void
}

export interface PollerOptions {
  readonly pollMinMs: number
  readonly pollMaxMs: number
  readonly log: Log
}

/** Rows of one partition that one statement reads. */
const LIMIT_MAX = 500
const FAILURE_BACKOFF = { baseMs: 50, capMs: 5_000 }

/**
 * Reads for all subscriptions of one queue object, so that any number of partitions costs one statement while nothing
 * happens. Waits grow from `pollMinMs` to `pollMaxMs` while nothing comes from other processes, and are cut short by
 * `wake`. Runs while there is a feed, so that a process whose consumers have stopped can end.
 */
export class Poller {
  readonly #store: Store
  readonly #options: PollerOptions
  readonly #feeds = new Set<Feed>()
  /** The newest end of a partition that is known to be committed. */
  readonly #ends = new Map<bigint, bigint>()
  /**
   * The newest end that a transaction of this process has tried to commit. Too high after one that failed, until others
   * have filled the gap: their messages are read all the same, only without quickening the pace.
   */
  readonly #tried = new Map<bigint, bigint>()
  readonly #bell = new Bell()
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined

  constructor(store: Store, options: PollerOptions) {
    this.#store = store
    this.#options = options
  }

  add(feed: Feed): void {
    this.#feeds.add(feed)
    this.#running ??= this.#run()
    this.#bell.ring()
  }

  remove(feed: Feed): void {
    this.#feeds.delete(feed)
    if (this.#feeds.size === 0) this.#bell.ring()
  }

  wake(): void {
    this.#bell.ring()
  }

  /** This process is about to commit messages up to these ends; a read may meet them before `announce` tells of them. */
  expect(ends: ReadonlyMap<bigint, bigint>): void {
    if (this.#feeds.size > 0) raise(this.#tried, ends)
  }

  /** This process has committed messages up to these ends. */
  announce(ends: ReadonlyMap<bigint, bigint>): void {
    if (this.#feeds.size === 0) return
    raise(this.#ends, ends)
    this.#bell.ring()
  }

  /** True when there is something to read for the feed and enough room to make a statement worth it. */
  isWorthReading(feed: Feed): boolean {
    return feed.room * 2 >= feed.prefetch && feed.next < (this.#ends.get(feed.partitionId) ?? 0n)
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { pollMinMs, pollMaxMs, log } = this.#options
    const { signal } = this.#stop
    const pace = new PollPace()
    let failures = 0
    while (!signal.aborted && this.#feeds.size > 0) {
      let waitMs: number
      try {
        const found = await this.#turn(signal)
        failures = 0
        pace.looked(found, this.#store.clock.monotonic(), { minMs: pollMinMs, maxMs: pollMaxMs })
        waitMs = this.#anyWorthReading() ? 0 : pace.pauseMs
      } catch (error) {
        if (signal.aborted) break
        if ((error as { code?: string }).code === 'SCHEMA_REVISION') {
          for (const feed of this.#feeds) feed.fail(error)
          this.#feeds.clear()
          break
        }
        waitMs = backoffMs(++failures, FAILURE_BACKOFF, this.#store.clock)
        log.warn('reading the queue failed', { error, failures })
      }
      if (waitMs > 0 && this.#feeds.size > 0) await this.#bell.wait(waitMs, signal)
    }
    this.#running = undefined
  }

  /** Reads once for every feed with room; true when there was something of another process. */
  async #turn(signal: AbortSignal): Promise<boolean> {
    const feeds = [...this.#feeds].filter((feed) => feed.room > 0)
    if (feeds.length === 0) return false
    // Ends learned before the transaction began lie inside its snapshot. What is announced while it runs may not, and
    // taking that as "read up to there" would step over messages.
    const before = new Map(feeds.map((f) => [f.partitionId, this.#ends.get(f.partitionId) ?? 0n]))
    let found = false
    await this.#store.transaction(
      async (tx) => {
        const peeked = await readEnds(tx, [...new Set(feeds.map((f) => f.partitionId))])
        for (const [id, end] of peeked) {
          found ||= end > max(before.get(id) ?? 0n, this.#tried.get(id) ?? 0n)
        }
        raise(this.#ends, peeked)
        const ready = feeds
          .map((feed) => {
            const end = max(before.get(feed.partitionId) ?? 0n, peeked.get(feed.partitionId) ?? 0n)
            return { feed, end, limit: Math.min(feed.room, LIMIT_MAX) }
          })
          .filter(({ feed, end, limit }) => limit > 0 && feed.next < end)
        for (let i = 0; i < ready.length; i += RANGES_MAX) {
          const part = ready.slice(i, i + RANGES_MAX)
          const ranges: Range[] = part.map(({ feed, limit }) => ({
            partitionId: feed.partitionId,
            from: feed.next,
            limit,
          }))
          const entries = await readRanges(tx, ranges)
          part.forEach(({ feed, end, limit }, arm) => {
            const own = entries[arm] ?? []
            feed.accept(own)
            if (own.length < limit) feed.skipTo(end)
          })
        }
      },
      { readOnly: true, signal, timeoutMs: 30_000, retries: 0 },
    )
    return found
  }

  #anyWorthReading(): boolean {
    for (const feed of this.#feeds) if (this.isWorthReading(feed)) return true
    return false
  }
}

function raise(known: Map<bigint, bigint>, ends: ReadonlyMap<bigint, bigint>): void {
  for (const [id, end] of ends) known.set(id, max(known.get(id) ?? 0n, end))
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
