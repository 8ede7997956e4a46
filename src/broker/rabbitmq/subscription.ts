import { orAbort } from '../../core/abort.ts'
import { backoffMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import { within } from '../../core/timer.ts'
import type { Delivery, SubscribeOptions, Subscription } from '../broker.ts'
import { BrokerUnavailableError } from '../errors.ts'
import { fromDelivery } from './envelope.ts'
import type { RabbitChannelLike, RabbitConnectionLike, RabbitMessageLike } from './rabbitmq-client.ts'

/** Bounds of the calls that a server in trouble may leave unanswered. */
const SETUP_MS = 10_000
const CLOSE_MS = 5_000
const RECONNECT = { baseMs: 50, capMs: 2_000 }

export interface RabbitSubscriptionParts {
  readonly connection: RabbitConnectionLike
  readonly queue: string
  /** Makes the queues of the group, unless this process has done so. */
  readonly declare: () => Promise<void>
  /** They may be gone: `declare` is to make them again. */
  readonly forget: () => void
  readonly clock: Clock
  readonly log: Log
  readonly onClose: (subscription: RabbitSubscription) => void
}

/**
 * One queue, consumed over a channel of its own; a lost channel is replaced until `close`.
 *
 * Closing the channel is what releases: RabbitMQ puts everything unacknowledged back to the front, in order. So
 * `release` does nothing before that, and an acknowledgement of a delivery from a lost channel is dropped.
 */
export class RabbitSubscription implements Subscription {
  readonly done: Promise<void>
  readonly #options: SubscribeOptions
  readonly #parts: RabbitSubscriptionParts
  readonly #deliver: (delivery: Delivery) => void
  readonly #stop = new AbortController()
  #channel: RabbitChannelLike | undefined
  #finish!: () => void
  #fail!: (error: unknown) => void
  #running: Promise<void> = Promise.resolve()
  #closed: Promise<void> | undefined

  constructor(
    options: SubscribeOptions,
    parts: RabbitSubscriptionParts,
    deliver: (delivery: Delivery) => void,
  ) {
    this.#options = options
    this.#parts = parts
    this.#deliver = deliver
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
    this.done.catch(() => {})
  }

  /**
   * Fulfils when the first channel consumes. Tries again within a bound: RabbitMQ answers with an internal error, and
   * ends the connection, while another process is making the same queue.
   */
  async start(): Promise<void> {
    const { clock } = this.#parts
    const endMs = clock.monotonic() + SETUP_MS
    for (let attempt = 1; ; attempt++) {
      try {
        const { lost } = await this.#consume()
        this.#running = this.#keep(lost)
        return
      } catch (error) {
        if (this.#stop.signal.aborted || clock.monotonic() > endMs) throw error
        await clock.sleep(backoffMs(attempt, RECONNECT, clock), this.#stop.signal)
      }
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    this.#parts.onClose(this)
    const channel = this.#channel
    if (channel !== undefined) await within(this.#parts.clock, CLOSE_MS, channel.close()).catch(() => {})
    await this.#running
    this.#finish()
  }

  async #keep(lost: Promise<void>): Promise<void> {
    const { clock, log, queue } = this.#parts
    const { signal } = this.#stop
    await lost
    for (let attempt = 1; !signal.aborted; ) {
      try {
        await clock.sleep(backoffMs(attempt, RECONNECT, clock), signal)
        const again = await this.#consume()
        attempt = 1
        await again.lost
      } catch (error) {
        if (signal.aborted) return
        attempt++
        log.warn('consuming from RabbitMQ failed, trying again', { queue, error })
      }
    }
  }

  /** `lost` fulfils when the channel is gone. */
  async #consume(): Promise<{ lost: Promise<void> }> {
    const { connection, clock, queue } = this.#parts
    const acquiring = connection.acquire({ emitErrorsFromChannel: true })
    const channel = await orAbort(acquiring, this.#stop.signal).catch((error: unknown) => {
      // One that comes after `close` would stay open for as long as the connection.
      acquiring.then((late) => late.close()).catch(() => {})
      throw error
    })
    channel.on('error', (error) => this.#parts.log.warn('a channel of RabbitMQ failed', { queue, error }))
    const lost = new Promise<void>((resolve) => channel.on('close', resolve))
    channel.on('basic.cancel', (_tag, error) => {
      // The queue was deleted, or its leader is gone; declaring it again tells which.
      this.#parts.forget()
      this.#parts.log.warn('RabbitMQ cancelled a consumer', { queue, error })
      void channel.close()
    })
    try {
      await within(clock, SETUP_MS, orAbort(this.#setUp(channel), this.#stop.signal))
    } catch (error) {
      this.#parts.forget()
      // Not awaited: the driver closes a channel only after the server has answered what was asked on it, and a queue
      // without a leader answers nothing.
      void channel.close()
      throw error
    }
    return { lost }
  }

  async #setUp(channel: RabbitChannelLike): Promise<void> {
    const { declare, queue } = this.#parts
    await declare()
    await channel.basicQos({ prefetchCount: this.#options.prefetch })
    this.#channel = channel
    await channel.basicConsume({ queue }, (message) => this.#accept(channel, message))
  }

  #accept(channel: RabbitChannelLike, message: RabbitMessageLike): void {
    if (this.#stop.signal.aborted || !channel.active) return
    let settled = false
    try {
      this.#deliver({
        message: fromDelivery(message, this.#options.topic),
        redelivered: message.redelivered ?? false,
        ack: () => {
          if (settled) return
          settled = true
          if (!channel.active || this.#stop.signal.aborted) return
          try {
            channel.basicAck({ deliveryTag: message.deliveryTag as number })
          } catch {
            // The channel has just been lost: the message comes again.
          }
        },
        release: () => {
          settled = true
        },
      })
    } catch (error) {
      this.#fail(new BrokerUnavailableError('rabbitmq', { cause: error })) // the receiver threw
    }
  }
}
