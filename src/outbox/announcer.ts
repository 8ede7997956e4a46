import type { Log } from '../core/log.ts'
import type { Notify } from '../store/dialect.ts'
import { channelOf } from '../store/listener.ts'
import type { Store } from '../store/store.ts'
import { encodeAnnouncement, notifyOf } from './channel.ts'

/**
 * Tells relays of other processes that something was committed, after the COMMIT and outside of the transaction: a
 * NOTIFY inside would make all commits of the database that notify wait for each other.
 *
 * Guarantee: none; polling is the safety net. Bounds: one announcement under way; what is committed meanwhile is
 * announced together by the next. Failures are logged and not repeated.
 */
export class Announcer {
  readonly #store: Store
  readonly #notify: Notify
  readonly #channel: string
  readonly #log: Log
  #sending = false
  #waiting = false
  /** What waits to be announced; undefined means any partition, when `#waiting`. */
  #partitions: Set<number> | undefined

  /** @throws UnsupportedError */
  constructor(store: Store, name: string, log: Log) {
    this.#store = store
    this.#notify = notifyOf(store, 'createOutbox({ notify })')
    this.#channel = channelOf(store, 'outbox', name)
    this.#log = log
  }

  announce(partitions: readonly number[] | undefined): void {
    if (partitions === undefined) this.#partitions = undefined
    else if (!this.#waiting) this.#partitions = new Set(partitions)
    else for (const id of partitions) this.#partitions?.add(id)
    this.#waiting = true
    if (!this.#sending) void this.#send()
  }

  /** Never rejects. */
  async #send(): Promise<void> {
    this.#sending = true
    while (this.#waiting) {
      const payload = encodeAnnouncement(this.#partitions)
      this.#waiting = false
      this.#partitions = undefined
      try {
        await this.#store.read(this.#notify.send(this.#channel, payload))
      } catch (error) {
        this.#log.warn('relays of other processes could not be told of a commit; their poll finds it', {
          channel: this.#channel,
          error,
        })
      }
    }
    this.#sending = false
  }
}
