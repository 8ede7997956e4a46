import { setMaxListeners } from 'node:events'
import type { Broker, Subscription } from '../broker/index.ts'
import { anySignal, orAbort } from '../core/abort.ts'
import { backoffMs } from '../core/backoff.ts'
import { isForPeople } from '../core/errors.ts'
import type { LeaseRef } from '../lease/index.ts'
import type { Store } from '../store/index.ts'
import type { ResolvedConsumer } from './consumer-options.ts'
import { closeSession, openSession, type Session } from './session.ts'
import type { Served } from './work.ts'
import type { Worker } from './worker.ts'

/** Bound of the last statement of a session; without it, the next holder counts some attempts for nothing. */
const CLOSE_MS = 2_000

const RESUBSCRIBE = { baseMs: 100, capMs: 5_000 }

export interface PartitionPlace {
  readonly topic: string
  readonly partition: number
  readonly lease: LeaseRef
  /** Fires when the lease is no longer held. */
  readonly signal: AbortSignal
}

/**
 * One partition of a topic while this process holds its lease: subscribes, and again whenever the subscription is
 * lost, and hands what arrives to the worker.
 */
export class ServedPartition {
  /** Settles when the subscription is closed for good and what was acknowledged is stored. Never rejects. */
  readonly ended: Promise<void>
  readonly #place: PartitionPlace
  readonly #store: Store
  readonly #consumer: ResolvedConsumer
  readonly #broker: Broker
  readonly #worker: Worker
  readonly #onFatal: (error: unknown) => void
  /** Fires when no more deliveries are wanted. */
  readonly #leave = new AbortController()
  /** Fires when running handlers must stop too. */
  readonly #abort = new AbortController()
  #served: Served | undefined

  /** `onFatal` is told of what no further try would mend (a queue without its tables); the partition has ended then. */
  constructor(
    place: PartitionPlace,
    store: Store,
    consumer: ResolvedConsumer,
    worker: Worker,
    onFatal: (error: unknown) => void,
  ) {
    this.#place = place
    this.#store = store
    this.#consumer = consumer
    this.#broker = consumer.broker
    this.#worker = worker
    this.#onFatal = onFatal
    this.ended = this.#run()
  }

  /** What the worker knows this partition's messages by; undefined while there is no subscription. */
  get served(): Served | undefined {
    return this.#served
  }

  /** Gives the partition up: drops what waits, lets what runs go on, stores what was acknowledged. */
  leave(): Promise<void> {
    this.#leave.abort()
    return this.ended
  }

  /** Rolls running handlers back, with `reason`. */
  abort(reason: unknown): void {
    this.#abort.abort(reason)
  }

  async #run(): Promise<void> {
    const { clock } = this.#store
    const { topic, partition, signal } = this.#place
    const stop = anySignal(this.#leave.signal, signal) as AbortSignal
    for (let failures = 0; !stop.aborted; ) {
      const since = clock.monotonic()
      try {
        await this.#subscribeOnce(stop)
      } catch (error) {
        if (stop.aborted) return
        if (isForPeople(error)) {
          this.#onFatal(error)
          return
        }
        failures = clock.monotonic() - since > RESUBSCRIBE.capMs ? 1 : failures + 1
        const waitMs = backoffMs(failures, RESUBSCRIBE, clock)
        this.#consumer.log.warn('a subscription failed; it is made again', {
          topic,
          partition,
          waitMs,
          error,
        })
        await clock.sleep(waitMs, stop).catch(() => {})
      }
    }
  }

  /** Rejects when the subscription could not be made or was lost; fulfils when `stop` fired. */
  async #subscribeOnce(stop: AbortSignal): Promise<void> {
    const { topic, partition, lease, signal } = this.#place
    const { group, prefetch, from, owner } = this.#consumer
    const session: Session = { scope: lease.scope, partition, owner }
    const afterCrash = await this.#store.transaction((tx) => openSession(tx, session), { signal: stop })
    let lose!: (error: unknown) => void
    const lost = new Promise<never>((_, reject) => {
      lose = reject
    })
    lost.catch(() => {})
    const work = anySignal(signal, this.#abort.signal) as AbortSignal
    setMaxListeners(0, work) // one for each message that waits for another attempt
    const served: Served = {
      topic,
      partition,
      lease,
      doubtful: afterCrash ? prefetch : 0,
      signal: work,
      // The keeper of the lease will find out; until then, subscribing again does no harm.
      lose,
    }
    this.#worker.open(served)
    let subscription: Subscription | undefined
    try {
      subscription = await this.#broker.subscribe({ topic, group, partition, prefetch, from }, (delivery) =>
        this.#worker.accept(served, delivery),
      )
      this.#served = served
      await orAbort(Promise.race([subscription.done, lost]), stop).catch((error: unknown) => {
        if (!stop.aborted) throw error
      })
      if (!stop.aborted) throw new Error('the broker ended the subscription')
    } finally {
      this.#served = undefined
      // What runs may still commit, and its acknowledgement counts while the subscription is open.
      await this.#worker.drop(served)
      await subscription?.close().catch((error: unknown) => {
        this.#consumer.log.warn('a subscription could not be closed', { topic, partition, error })
      })
      // Until a subscription stood, nobody has taken up what the crash left.
      if (subscription !== undefined || !afterCrash) {
        await this.#store
          .transaction((tx) => closeSession(tx, session), { timeoutMs: CLOSE_MS })
          .catch((error: unknown) => {
            this.#consumer.log.warn('the end of a session could not be stored', { topic, partition, error })
          })
      }
    }
  }
}
