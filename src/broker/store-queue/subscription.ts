import type { Delivery, SubscribeOptions, Subscription } from '../broker.ts'
import type { Cursor } from './cursors.ts'
import type { Feed } from './poller.ts'
import type { LogEntry } from './read.ts'
import { Window } from './window.ts'

export interface SubscriptionHooks {
  /** How far the group is has changed. */
  onProgress(subscription: QueueSubscription): void
  /** Room came free. */
  onRoom(subscription: QueueSubscription): void
  onClose(subscription: QueueSubscription): Promise<void>
}

/** One partition of a topic, read for one group. */
export class QueueSubscription implements Subscription, Feed {
  readonly done: Promise<void>
  readonly partitionId: bigint
  readonly prefetch: number
  readonly #topic: string
  readonly #aheadMax: number
  readonly #start: Cursor
  readonly #window: Window
  readonly #deliver: (delivery: Delivery) => void
  readonly #hooks: SubscriptionHooks
  #finish!: () => void
  #fail!: (error: unknown) => void
  #closed: Promise<void> | undefined
  #failed = false

  constructor(
    { topic, prefetch }: SubscribeOptions,
    place: { partitionId: bigint; cursor: Cursor; aheadMax: number },
    deliver: (delivery: Delivery) => void,
    hooks: SubscriptionHooks,
  ) {
    this.#topic = topic
    this.prefetch = prefetch
    this.partitionId = place.partitionId
    this.#aheadMax = place.aheadMax
    this.#start = place.cursor
    this.#window = new Window(place.cursor.next)
    this.#deliver = deliver
    this.#hooks = hooks
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
    this.done.catch(() => {})
  }

  get next(): bigint {
    return this.#window.next
  }

  /** Acknowledged messages behind one that is not stay in the window, which must not grow for ever. */
  get room(): number {
    if (this.#closed !== undefined || this.#failed) return 0
    return Math.max(0, Math.min(this.prefetch - this.#window.open, this.#aheadMax - this.#window.size))
  }

  /** How far the group is, for `queue_cursor`. */
  get cursor(): Cursor {
    return { id: this.#start.id, next: this.#window.cursor, delivered: this.#window.next }
  }

  accept(entries: readonly LogEntry[]): void {
    for (const { offset, message } of entries) {
      if (this.#closed !== undefined || this.#failed) return
      const entry = this.#window.add(offset)
      this.#deliver({
        message: { ...message, topic: this.#topic },
        redelivered: offset < this.#start.delivered,
        ack: () => this.#settle(entry, 'acknowledged'),
        release: () => this.#settle(entry, 'released'),
      })
    }
    if (entries.length > 0) this.#hooks.onProgress(this)
  }

  skipTo(offset: bigint): void {
    this.#window.skipTo(offset)
  }

  fail(error: unknown): void {
    this.#failed = true
    this.#fail(error)
  }

  close(): Promise<void> {
    this.#closed ??= this.#hooks.onClose(this).finally(() => this.#finish())
    return this.#closed
  }

  #settle(entry: Parameters<Window['settle']>[0], state: 'acknowledged' | 'released'): void {
    if (this.#closed !== undefined || entry.state !== 'open') return
    this.#window.settle(entry, state)
    this.#hooks.onProgress(this)
    this.#hooks.onRoom(this)
  }
}
