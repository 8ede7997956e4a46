import type { Store } from '../store/index.ts'
import type { ResolvedConsumer } from './consumer-options.ts'
import { askAgain, findRequested, homeOf, keepLetter, removeLetter, takeRequest } from './dead-letter.ts'
import type { ServedPartition } from './partition.ts'
import type { Retried, Served } from './work.ts'
import type { Worker } from './worker.ts'

/** Letters read at a time, which bounds those in hand: each is read again until it is dealt with. */
const LOOK_MAX = 100

/**
 * Brings dead letters that someone asked to retry back to the handler: each once per request, in the lane of its key,
 * by the process that holds the key's partition.
 */
export class DeadLetterRetries {
  readonly #store: Store
  readonly #options: ResolvedConsumer
  readonly #worker: Worker
  readonly #partitions: ReadonlySet<ServedPartition>
  /** By subscription, since a subscription that ends drops what it had. */
  readonly #inHand = new WeakMap<Served, Set<string>>()

  constructor(
    store: Store,
    options: ResolvedConsumer,
    worker: Worker,
    partitions: ReadonlySet<ServedPartition>,
  ) {
    this.#store = store
    this.#options = options
    this.#worker = worker
    this.#partitions = partitions
  }

  start(signal: AbortSignal): void {
    if (this.#options.deadLetterPollMs > 0) void this.#run(signal).catch(() => {})
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#store.clock.sleep(this.#options.deadLetterPollMs, signal)
      await this.lookOnce(signal).catch((error: unknown) => {
        if (!signal.aborted)
          this.#options.log.warn('dead letters could not be looked for; tried again', { error })
      })
    }
  }

  async lookOnce(signal: AbortSignal): Promise<void> {
    const { group, broker, topics } = this.#options
    const served = [...this.#partitions].flatMap((partition) => partition.served ?? [])
    if (served.length === 0) return
    const letters = await this.#store.transaction(
      (tx) => findRequested(tx, { group, topics, limit: LOOK_MAX }),
      {
        readOnly: true,
        signal,
      },
    )
    for (const { id, message, attempts } of letters) {
      const home = homeOf(message, broker.partitions)
      const place = served.find((s) => s.topic === message.topic && s.partition === home)
      if (place === undefined) continue
      const inHand = this.#inHand.get(place) ?? new Set()
      this.#inHand.set(place, inHand)
      if (inHand.has(id)) continue
      inHand.add(id)
      this.#worker.acceptRetried(place, message, { ...this.#retried(id, place, inHand), attempts })
    }
  }

  #retried(id: string, { signal }: Served, inHand: Set<string>): Omit<Retried, 'attempts'> {
    const store = this.#store
    return {
      begin: () => takeRequest(store, id, signal),
      claim: (tx) => removeLetter(tx, id),
      failed: (error) => store.transaction((tx) => keepLetter(tx, id, error)),
      interrupted: () => store.transaction((tx) => askAgain(tx, id)),
      ended: () => void inHand.delete(id),
    }
  }
}
