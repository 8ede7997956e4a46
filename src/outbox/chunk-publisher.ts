import type { Message, Publisher, PublishResult } from '../broker/broker.ts'
import { backoffMs } from '../core/backoff.ts'
import { isHoldfastError } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import type { Deleter } from './deleter.ts'
import { RelayStoppedError } from './errors.ts'
import type { FailureRecorder } from './failure-recorder.ts'
import { largeBytes } from './large-payloads.ts'
import type { Partition } from './partition.ts'
import type { Chunk } from './reader.ts'
import type { RelayContext } from './relay-context.ts'
import { type ReadyRow, toMessage } from './relay-statements.ts'
import { type Refusal, settle } from './settle.ts'
import { TROUBLE_BACKOFF } from './trouble.ts'

/** Hands what was read of a partition to the broker, and acts on each answer. Several partitions at once. */
export class ChunkPublisher {
  readonly #context: RelayContext
  readonly #deleter: Deleter
  readonly #failures: FailureRecorder
  readonly #flights = new Set<Promise<void>>()

  constructor(context: RelayContext, deleter: Deleter, failures: FailureRecorder) {
    this.#context = context
    this.#deleter = deleter
    this.#failures = failures
  }

  /** True when no publish is under way. */
  get idle(): boolean {
    return this.#flights.size === 0
  }

  async settled(): Promise<void> {
    while (this.#flights.size > 0) await Promise.all(this.#flights)
  }

  send({ partition, rows }: Chunk): void {
    const { store, counts, bell } = this.#context
    const due = partition.admit(rows, store.clock.monotonic())
    if (due.length === 0) return
    const admitted = partition.silences.limit(due)
    if (admitted.length < due.length) partition.dirty = true
    partition.busy = true
    counts.inHand += admitted.length
    let large = 0
    for (const row of admitted) large += largeBytes(row)
    counts.largeBytes += large
    const flight = this.#relay(partition, admitted).finally(() => {
      this.#flights.delete(flight)
      counts.largeBytes -= large
      partition.landed()
      bell.ring()
    })
    this.#flights.add(flight)
  }

  /** Never rejects. */
  async #relay(partition: Partition, rows: readonly ReadyRow[]): Promise<void> {
    const { counts, trouble } = this.#context
    let left = rows.length
    try {
      const results = await this.#publish(partition, rows)
      await failpoint('outbox.relay.published')
      const { stored, refused, unknown } = settle(rows, results)
      if (stored.length > 0) {
        left -= stored.length
        counts.addRelayed(stored.length)
        trouble.end()
        this.#deleter.add(partition, stored)
      }
      if (stored.length < rows.length) partition.dirty = true
      if (unknown === undefined) partition.silences.answered(rows)
      else if (this.#pause(partition, unknown, rows.length) === 'count') refused.push(unknown)
      if (refused.length > 0) await this.#failures.record(partition, refused)
    } catch (error) {
      partition.dirty = true
      if (!partition.aborter.signal.aborted) {
        trouble.meet('the relay could not publish and tries again', error)
      }
    } finally {
      counts.inHand -= left
    }
  }

  async #publish(partition: Partition, rows: readonly ReadyRow[]): Promise<readonly PublishResult[]> {
    const { signal } = partition.aborter
    if (!partition.lease.isHeld()) throw new RelayStoppedError()
    const publisher: Publisher = {
      scope: this.#context.source,
      partition: String(partition.id),
      epoch: partition.lease.epoch,
    }
    const batch: Message[] = rows.map(toMessage)
    try {
      return await this.#context.options.broker.publish(batch, { signal, publisher })
    } catch (error) {
      // What is known not to have been sent is the broker's trouble; anything else may be the fault of a message.
      if (signal.aborted || (isHoldfastError(error) && error.outcome === 'not-applied')) throw error
      return batch.map(() => ({ kind: 'unknown', error }))
    }
  }

  /** No answer, though nothing before it had failed: the broker is asked again later. */
  #pause(partition: Partition, { row, error }: Refusal, tried: number): 'pause' | 'avoid' | 'count' {
    const { store, options, outbox, trouble, counts } = this.#context
    const { silences } = partition
    const verdict = silences.met({ id: row.message_id, tried, relayed: counts.relayed })
    const waitMs = backoffMs(silences.count, TROUBLE_BACKOFF, store.clock)
    const nowMs = store.clock.monotonic()
    partition.pause(nowMs + waitMs)
    if (verdict === 'avoid') {
      // Longer than the pause, so that at its end the others go first.
      const moreMs = backoffMs(silences.ofSuspect(row.message_id), TROUBLE_BACKOFF, store.clock) / 2
      partition.avoid(row, nowMs + waitMs + moreMs)
    }
    trouble.last = error
    options.log.warn('the broker gave no answer for a message; it may be stored', {
      outbox: outbox.name,
      partition: partition.id,
      id: row.message_id,
      waitMs: Math.round(waitMs),
      error,
    })
    return verdict
  }
}
