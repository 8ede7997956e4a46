import { randomBytes } from 'node:crypto'
import { backoffMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { failpoint } from '../../core/failpoint.ts'
import type { Log } from '../../core/log.ts'
import { within } from '../../core/timer.ts'
import type { Delivery, SubscribeOptions, Subscription } from '../broker.ts'
import { BrokerUnavailableError } from '../errors.ts'
import { fromNats } from './envelope.ts'
import type { NatsNames } from './names.ts'
import type {
  JetStreamLike,
  JetStreamManagerLike,
  NatsConsumerInfo,
  NatsMessageLike,
  NatsMessagesLike,
} from './nats-client.ts'

const ACK_TIMEOUT_MS = 5_000
/** Of one pull request; also how long a lost one goes unnoticed. */
const PULL_MS = 4_000
const RESTART = { baseMs: 50, capMs: 2_000 }

export interface NatsSubscriptionParts {
  readonly jetstream: JetStreamLike
  readonly manager: JetStreamManagerLike
  readonly names: NatsNames
  readonly ackWaitMs: number
  readonly clock: Clock
  readonly log: Log
  readonly onClose: (subscription: NatsSubscription) => void
}

interface OwnConsumer {
  readonly name: string
  /** Undefined until it consumes. */
  messages: NatsMessagesLike | undefined
}

interface InHand {
  /** The newest copy: only that one can be acknowledged. */
  message: NatsMessageLike
  state: 'open' | 'released'
}

/**
 * One partition, read through a durable consumer that belongs to this subscription alone.
 *
 * JetStream redelivers what was not acknowledged after a wait, behind messages that it delivered meanwhile. So a
 * successor does not join the consumer of the one before: it makes a new one that starts after everything that was
 * acknowledged, and deletes the old. Order is kept, redelivery is immediate, and who was replaced gets nothing more.
 * The new one is made before the old one is deleted, so a crash in between loses no place; the newest counts.
 *
 * The consumer numbers its deliveries. A gap means that one was lost on the way, and what came after it would be out
 * of order, so the subscription then replaces its own consumer in the same manner.
 */
export class NatsSubscription implements Subscription {
  readonly done: Promise<void>
  readonly #options: SubscribeOptions
  readonly #parts: NatsSubscriptionParts
  readonly #deliver: (delivery: Delivery) => void
  readonly #stream: string
  readonly #stop = new AbortController()
  readonly #inHand = new Map<number, InHand>()
  readonly #acks = new Set<Promise<unknown>>()
  #consumer: OwnConsumer | undefined
  /** The number that the consumer gives to its next delivery. */
  #nextDelivery = 1
  /** Everything up to here was handed to the application. */
  #handed = 0
  /** Everything up to here was delivered to a predecessor. */
  #before = 0
  #restarting: Promise<void> | undefined
  #closed: Promise<void> | undefined
  #finish!: () => void
  #fail!: (error: unknown) => void

  constructor(
    options: SubscribeOptions,
    parts: NatsSubscriptionParts,
    deliver: (delivery: Delivery) => void,
  ) {
    this.#options = options
    this.#parts = parts
    this.#deliver = deliver
    this.#stream = parts.names.stream(options.topic)
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
    this.done.catch(() => {})
  }

  async start(): Promise<void> {
    const predecessors = await this.#list()
    const newest = predecessors.at(-1)
    if (newest !== undefined) {
      this.#before = newest.delivered.stream_seq
      this.#handed = newest.ack_floor.stream_seq
    }
    await this.#replace(
      predecessors.map((p) => p.name),
      newest && newest.ack_floor.stream_seq + 1,
    )
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    this.#parts.onClose(this)
    await this.#restarting
    await this.#stopConsuming()
    await Promise.allSettled(this.#acks)
    this.#finish()
  }

  async #stopConsuming(): Promise<void> {
    const messages = this.#consumer?.messages
    if (messages !== undefined)
      await within(this.#parts.clock, ACK_TIMEOUT_MS, messages.close()).catch(() => {})
  }

  /** The consumers of this group and partition, oldest first. */
  async #list(): Promise<NatsConsumerInfo[]> {
    const { manager, names } = this.#parts
    const { group, partition } = this.#options
    const found: NatsConsumerInfo[] = []
    for await (const info of manager.consumers.list(this.#stream))
      if (names.isConsumerOf(info.name, group, partition)) found.push(info)
    return found.sort((a, b) => compareInstants(a.created, b.created))
  }

  async #replace(olds: readonly string[], startSequence: number | undefined): Promise<void> {
    const { jetstream, manager, names, ackWaitMs } = this.#parts
    const { topic, group, partition, prefetch, from } = this.#options
    const name = names.consumer(group, partition, randomBytes(8).toString('hex'))
    await manager.consumers.add(this.#stream, {
      durable_name: name,
      ack_policy: 'explicit',
      ack_wait: ackWaitMs * 1_000_000,
      max_deliver: -1,
      max_ack_pending: prefetch,
      filter_subject: names.subject(topic, partition),
      ...(startSequence === undefined
        ? { deliver_policy: from === 'latest' ? 'new' : 'all' }
        : { deliver_policy: 'by_start_sequence', opt_start_seq: startSequence }),
    })
    await failpoint('nats.subscribe.created')
    for (const old of olds) await manager.consumers.delete(this.#stream, old).catch(unlessMissing)
    const own: OwnConsumer = { name, messages: undefined }
    this.#consumer = own
    this.#nextDelivery = 1
    const consumer = await jetstream.consumers.get(this.#stream, name)
    own.messages = await consumer.consume({
      max_messages: prefetch,
      expires: PULL_MS,
      abort_on_missing_resource: true,
      callback: (message) => {
        if (this.#consumer === own) this.#accept(message)
      },
    })
    own.messages.closed().then((error) => {
      if (this.#consumer === own) this.#restart(error ?? undefined)
    })
  }

  #accept(message: NatsMessageLike): void {
    if (this.#stop.signal.aborted || this.#restarting !== undefined) return
    const { streamSequence, deliverySequence } = message.info
    if (deliverySequence !== this.#nextDelivery) {
      this.#restart(new Error(`delivery ${this.#nextDelivery} was lost on the way, ${deliverySequence} came`))
      return
    }
    this.#nextDelivery++
    if (streamSequence <= this.#handed) {
      // Again, from this consumer or the one before: still in hand, or its acknowledgement was lost.
      const entry = this.#inHand.get(streamSequence)
      if (entry !== undefined) entry.message = message
      else this.#acknowledge(message)
      return
    }
    this.#handed = streamSequence
    const entry: InHand = { message, state: 'open' }
    this.#inHand.set(streamSequence, entry)
    try {
      this.#deliver({
        message: fromNats(message, this.#options.topic),
        redelivered: message.redelivered || streamSequence <= this.#before,
        ack: () => {
          if (this.#stop.signal.aborted || entry.state !== 'open') return
          if (this.#inHand.delete(streamSequence)) this.#acknowledge(entry.message)
        },
        release: () => {
          entry.state = 'released'
        },
      })
    } catch (error) {
      this.#fail(new BrokerUnavailableError('nats', { cause: error })) // the receiver threw
    }
  }

  /** The server's answer is waited for when closing; without one it sends the message again, and it is acknowledged again. */
  #acknowledge(message: NatsMessageLike): void {
    const acknowledged = message
      .ackAck({ timeout: ACK_TIMEOUT_MS })
      .catch(() => {})
      .finally(() => this.#acks.delete(acknowledged))
    this.#acks.add(acknowledged)
  }

  #restart(reason: unknown): void {
    if (this.#stop.signal.aborted || this.#restarting !== undefined) return
    this.#parts.log.warn('reading from NATS starts again', { stream: this.#stream, reason })
    this.#restarting = this.#startAgain().finally(() => {
      this.#restarting = undefined
    })
  }

  async #startAgain(): Promise<void> {
    const { clock, log } = this.#parts
    const { signal } = this.#stop
    await this.#stopConsuming()
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const consumers = await this.#list()
        if (!consumers.some((c) => c.name === this.#consumer?.name)) {
          throw new LostConsumerError(consumers.length > 0)
        }
        const [lowest] = [...this.#inHand.keys()].sort((a, b) => a - b)
        await this.#replace(
          consumers.map((c) => c.name),
          lowest ?? this.#handed + 1,
        )
        return
      } catch (error) {
        if (error instanceof LostConsumerError || isMissing(error)) {
          this.#stop.abort()
          this.#parts.onClose(this)
          this.#fail(new BrokerUnavailableError('nats', { cause: error }))
          return
        }
        log.warn('reading from NATS could not start again', { stream: this.#stream, error })
        await clock.sleep(backoffMs(attempt, RESTART, clock), signal).catch(() => {})
      }
    }
  }
}

class LostConsumerError extends Error {
  constructor(replaced: boolean) {
    super(
      replaced ? 'another subscriber has taken the partition over' : 'the consumer was deleted on the server',
    )
  }
}

/** The API's error codes for a consumer and a stream that do not exist. */
export function isMissing(error: unknown): boolean {
  return [10014, 10059].includes((error as { code?: number }).code ?? 0)
}

function unlessMissing(error: unknown): void {
  if (!isMissing(error)) throw error
}

/** RFC 3339 in UTC with any number of digits after the second, which Date would cut. */
function compareInstants(a: string, b: string): number {
  const [x, y] = [a, b].map((text) =>
    text.replace(/\.?(\d*)Z$/, (_, digits: string) => `.${digits.padEnd(9, '0')}`),
  )
  return (x as string) < (y as string) ? -1 : 1
}
