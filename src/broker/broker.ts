/** A message as brokers carry it. The payload is JSON text, checked when it was published. */
export interface Message {
  /** What consumers de-duplicate on; the same for every copy of the message. */
  readonly id: string
  readonly topic: string
  /** Messages of one key keep their order; null has none. */
  readonly key: string | null
  readonly payload: string
  readonly headers: Readonly<Record<string, string>>
  /** On the publishing store's clock. */
  readonly publishedAtMs: number
}

/** What became of one message of a batch. */
export type PublishResult =
  | { readonly kind: 'stored' }
  /** The broker answered that it will not take this message (too large, no such queue); others may be fine. */
  | { readonly kind: 'refused'; readonly error: unknown }
  /** No answer, or not tried since an earlier message of the key failed. It may be stored. */
  | { readonly kind: 'unknown'; readonly error: unknown }

/** Who publishes, for brokers that can refuse a relay whose lease has passed to another. */
export interface Publisher {
  readonly scope: string
  readonly partition: string
  readonly epoch: bigint
}

/**
 * Carries messages from relays to groups of consumers.
 *
 * Guarantee: a message reported `stored` survives the crash of any one process and reaches every group at least once.
 * Each topic has `partitions` partitions; `partitionOf` says which one a message goes to, so that all messages of a key
 * stand in one partition in the order of publishing.
 */
export interface Broker extends AsyncDisposable {
  readonly name: string
  /** Fixed for the life of a topic: changing it moves keys to other partitions. */
  readonly partitions: number
  /**
   * Stores a batch and gives one result per message, in the order of `batch`.
   *
   * Guarantee: the stored messages of each key are a prefix of that key's messages in the batch, across topics.
   * Bounds: settles within the adapter's named time-out, also when the broker is gone. Rejects, nothing stored, when
   * `signal` fires before anything was sent, and with an error whose `outcome` is `not-applied`: BrokerUnavailableError,
   * or what a person must put right (SchemaRevisionError), or StaleFenceError for a publisher that has been replaced.
   */
  publish(
    batch: readonly Message[],
    options: { readonly signal: AbortSignal; readonly publisher?: Publisher },
  ): Promise<readonly PublishResult[]>

  /**
   * Delivers one partition of a topic to `deliver` for `group`, in order, at most `prefetch` unsettled at a time.
   * What a crashed subscriber did not settle is delivered again within seconds.
   */
  subscribe(subscription: SubscribeOptions, deliver: (delivery: Delivery) => void): Promise<Subscription>
  close(): Promise<void>
}

export interface SubscribeOptions {
  readonly topic: string
  readonly group: string
  /** 0 to `partitions - 1`. The consumer holds a lease on it, so that one process at a time subscribes. */
  readonly partition: number
  readonly prefetch: number
  /** Where a group that the broker does not know yet begins. Default `earliest`. */
  readonly from?: 'earliest' | 'latest'
}

/**
 * One delivery of a message. Settle it exactly once, by `ack` or `release`. After a lost connection a broker may
 * deliver a message again while the first copy is still in hand; settling that copy then has no effect.
 */
export interface Delivery {
  readonly message: Message
  /** True when the broker knows that the message was delivered before. False proves nothing. */
  readonly redelivered: boolean
  /** The group is done with the message. May return before the broker has stored the fact. */
  ack(): void
  /** Not done: it is delivered again to whoever subscribes next, not to this subscription. */
  release(): void
}

export interface Subscription {
  /** Rejects when the subscription is lost for good (for example the queue was deleted); fulfils after `close`. */
  readonly done: Promise<void>
  /** No more deliveries; acknowledgements given before are stored when this fulfils. Unsettled ones are released. */
  close(): Promise<void>
}
