import type { Message, PublishResult } from '../broker.ts'
import { MessageRefusedError } from '../errors.ts'
import { toEnvelope } from './envelope.ts'
import type { RabbitNames } from './names.ts'
import type { RabbitChannelLike, RabbitConnectionLike } from './rabbitmq-client.ts'

/** One channel in confirm mode, with the exchanges that it has declared. Thrown away when anything goes wrong. */
export class PublisherChannel {
  readonly #channel: RabbitChannelLike
  readonly #names: RabbitNames
  readonly #exchanges = new Map<string, Promise<void>>()
  readonly #returned = new Set<string>()
  #sequence = 0

  static async open(connection: RabbitConnectionLike, names: RabbitNames): Promise<PublisherChannel> {
    const channel = await connection.acquire({ emitErrorsFromChannel: true })
    channel.on('error', () => {}) // the promises of what was under way say it
    await channel.confirmSelect()
    return new PublisherChannel(channel, names)
  }

  private constructor(channel: RabbitChannelLike, names: RabbitNames) {
    this.#channel = channel
    this.#names = names
    channel.on('basic.return', (message) => {
      if (message.correlationId !== undefined) this.#returned.add(message.correlationId)
    })
  }

  get usable(): boolean {
    return this.#channel.active
  }

  /** Never rejects. */
  async send(message: Message, partition: number): Promise<PublishResult> {
    const correlationId = String(++this.#sequence)
    try {
      const exchange = this.#names.exchange(message.topic)
      await this.#declare(exchange)
      await this.#channel.basicPublish(
        toEnvelope(message, { exchange, partition, correlationId }),
        Buffer.from(message.payload),
      )
      // A message without a queue comes back first and is confirmed then, but the driver tells of the return one turn
      // of the event loop later than of the confirmation.
      await new Promise((resolve) => setImmediate(resolve))
      if (!this.#returned.delete(correlationId)) return { kind: 'stored' }
      // Nobody would ever receive it.
      const reason = `no queue is bound for partition ${partition} of topic ${JSON.stringify(message.topic)}; declare a group first`
      return { kind: 'refused', error: new MessageRefusedError('rabbitmq', reason) }
    } catch (error) {
      return { kind: 'unknown', error }
    }
  }

  close(): Promise<void> {
    return this.#channel.close()
  }

  #declare(exchange: string): Promise<void> {
    let declared = this.#exchanges.get(exchange)
    if (declared === undefined) {
      declared = this.#channel.exchangeDeclare({ exchange, type: 'direct', durable: true })
      this.#exchanges.set(exchange, declared)
      declared.catch(() => this.#exchanges.delete(exchange))
    }
    return declared
  }
}
