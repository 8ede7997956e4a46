import type { Message, Publisher, PublishResult } from '../broker/broker.ts'
import { backoffMs } from '../core/backoff.ts'
import { failpoint } from '../core/failpoint.ts'
import type { Deleter } from './deleter.ts'
import { RelayStoppedError } from './errors.ts'
import type { FailureRecorder } from './failure-recorder.ts'
import { largeBytes } from './large-payloads.ts'
import type { Partition } from './partition.ts'
import type { Chunk } from './reader.ts'
import type { RelayContext } from './relay-context.ts'
import { type ReadyRow, toMessage } from './relay-statements.ts'
import { settle } from './settle.ts'
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
    const admitted = partition.admit(rows, store.clock.monotonic())
    if (admitted.length === 0) return
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
      if (unknown !== undefined) this.#pause(partition, unknown.error)
      else partition.silences = 0
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
    return await this.#context.options.broker.publish(batch, { signal, publisher })
  }

  /** No answer, though nothing before it had failed: the broker is asked again later, and no attempt is counted. */
  #pause(partition: Partition, error: unknown): void {
    const { store, options, outbox, trouble } = this.#context
    partition.silences++
    const waitMs = backoffMs(partition.silences, TROUBLE_BACKOFF, store.clock)
    partition.pause(store.clock.monotonic() + waitMs)
    trouble.last = error
    options.log.warn('the broker gave no answer for a message; it may be stored', {
      outbox: outbox.name,
      partition: partition.id,
      waitMs: Math.round(waitMs),
      error,
    })
  }
}
