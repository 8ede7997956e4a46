import { AsyncResource } from 'node:async_hooks'
import type { OutboxRow } from './message.ts'
import type { Partition } from './partition.ts'
import type { Chunk } from './reader.ts'
import type { RelayContext } from './relay-context.ts'
import type { ReadyRow } from './relay-statements.ts'
import type { FirstRow } from './statements.ts'

/** Nothing was published here for so long: whatever comes more densely had better share a read, a publish and a delete. */
const QUIET_MS = 2

/** What one transaction hands over directly. */
const ROWS_MAX = 100

/** Characters of a payload; larger ones go through the reads, which bound what is in memory. */
const PAYLOAD_MAX = 16_384

/** A relay would take what a transaction is about to commit from memory. */
export interface Offer {
  /**
   * After the COMMIT, with what the insert answered: true when the relay has taken the messages. When false, they are to be
   * read like any others.
   */
  take(rows: readonly OutboxRow[], found: readonly FirstRow[]): boolean
}

/**
 * Hands messages of this process over without reading them back, where that cannot change the order; design note 0018.
 *
 * Three things must hold. At the insert no other message of the partition stood in the outbox, so whatever committed
 * before this one was published is delivered (`first`). Since before the insert, no read of the partition has begun, so
 * nobody else has sent this message, nor a later one. And the partition is at rest, as it must be for a read.
 */
export class DirectHand {
  readonly #context: RelayContext
  readonly #send: (chunk: Chunk) => void
  /** The broker and the handler run in the relay's context, and not in that of whoever commits. */
  readonly #resource = new AsyncResource('HoldfastRelay')
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(context: RelayContext, send: (chunk: Chunk) => void) {
    this.#context = context
    this.#send = send
  }

  /** Undefined when the relay is better off reading. */
  offer(partition: Partition | undefined, rows: readonly OutboxRow[]): Offer | undefined {
    const nowMs = this.#context.store.clock.monotonic()
    const quietMs = nowMs - this.#askedAtMs
    this.#askedAtMs = nowMs
    if (quietMs < QUIET_MS || partition === undefined || !this.#mayTake(partition)) return undefined
    if (rows.length > ROWS_MAX || rows.some((row) => row.payload.length > PAYLOAD_MAX)) return undefined
    const { reads } = partition
    return {
      take: (rows, found) => {
        if (partition.reads !== reads || !this.#mayTake(partition)) return false
        const ready = toReady(rows, found)
        if (ready === undefined) return false
        this.#take({ partition, rows: ready })
        return true
      },
    }
  }

  #mayTake(partition: Partition): boolean {
    const { options, life, trouble, store } = this.#context
    if (options.manual || life.stopping) return false
    const nowMs = store.clock.monotonic()
    return nowMs >= trouble.resumeAtMs && partition.isAtRest(nowMs)
  }

  /** In a turn of its own: whoever committed gets its answer first. */
  #take(chunk: Chunk): void {
    const { partition, rows } = chunk
    const { life, counts } = this.#context
    partition.busy = true
    counts.direct += rows.length
    const hand = (): void => {
      if (life.stopping) {
        partition.dirty = true
        partition.landed()
      } else this.#send(chunk)
    }
    this.#resource.runInAsyncScope(() => setImmediate(hand))
  }
}

/** Undefined unless the insert said that these were the first of their partition. */
function toReady(rows: readonly OutboxRow[], found: readonly FirstRow[]): ReadyRow[] | undefined {
  if (found.length !== rows.length) return undefined
  const ready: ReadyRow[] = []
  for (const [i, { id, partition, topic, key, payload, headers }] of rows.entries()) {
    const { message_id, first, sequence, published_at_ms } = found[i] as FirstRow
    if (message_id !== id || first !== true) return undefined
    const place = { sequence, partition, published_at_ms, attempts: 0, wait_ms: null, large_bytes: null }
    ready.push({ ...place, message_id, topic, key, payload, headers })
  }
  return ready
}
