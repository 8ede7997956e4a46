import { backoffMs } from '../core/backoff.ts'
import { failpoint } from '../core/failpoint.ts'
import type { LaterMover } from './later-mover.ts'
import type { Partition } from './partition.ts'
import { type Failure, recordFailures } from './record-failures.ts'
import type { RelayContext } from './relay-context.ts'
import type { Refusal } from './settle.ts'

/** Decides what becomes of messages that were refused, has it stored, and acts on it. */
export class FailureRecorder {
  readonly #context: RelayContext
  readonly #later: LaterMover

  constructor(context: RelayContext, later: LaterMover) {
    this.#context = context
    this.#later = later
  }

  /** @throws what the store throws; then no attempt was counted */
  async record(partition: Partition, refused: readonly Refusal[]): Promise<void> {
    if (!partition.lease.isHeld()) return
    const { store, outbox, source } = this.#context
    const failures = refused.map((refusal) => this.#decide(refusal))
    const recorded = await recordFailures(store, { name: outbox.name, source }, failures)
    await failpoint('outbox.relay.failures.recorded')
    const nowMs = store.clock.monotonic()
    for (const failure of recorded) this.#act(partition, failure, nowMs)
  }

  #decide({ row, error }: Refusal): Failure {
    const { store, outbox, options } = this.#context
    const topic = outbox.topics.get(row.topic)
    const attempts = row.attempts + 1
    if (attempts >= (topic?.attemptsMax ?? options.attemptsMax)) {
      return { row, error, fate: 'give-up', delayMs: 0 }
    }
    // Without a key there is no order to keep.
    const waits = row.key !== null && topic?.onFailure !== 'skip'
    const delayMs = backoffMs(attempts, options.backoff, store.clock)
    return { row, error, fate: waits ? 'wait' : 'aside', delayMs }
  }

  #act(partition: Partition, { row, error, fate, delayMs }: Failure, nowMs: number): void {
    const { outbox, options, counts } = this.#context
    const { topic, message_id: id, attempts } = row
    const fields = { outbox: outbox.name, topic, id, attempts: attempts + 1, error }
    if (fate === 'give-up') {
      counts.deadLetters++
      options.log.error('a message became a dead letter', fields)
      return
    }
    counts.addRetry()
    options.log.warn('the broker refused a message; it is tried again', fields)
    if (fate === 'wait' && row.key !== null) partition.block(row.key, nowMs + delayMs)
    else this.#later.lookBy(nowMs + delayMs)
  }
}
