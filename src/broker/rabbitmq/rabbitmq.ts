import { orAbort } from '../../core/abort.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import { type Log, silentLog } from '../../core/log.ts'
import { checkOptions, isCount, isDuration, isName, optionsOf } from '../../core/options.ts'
import { within } from '../../core/timer.ts'
import type { Broker, Message, PublishResult } from '../broker.ts'
import { checkMessage, checkSubscription } from '../check.ts'
import { BrokerUnavailableError, MessageRefusedError } from '../errors.ts'
import { publishInKeyOrder } from '../in-key-order.ts'
import { BrokerLife } from '../life.ts'
import { partitionOfMessage } from '../partition.ts'
import { publishInTime } from '../publish-in-time.ts'
import { rabbitNames } from './names.ts'
import { PublisherChannel } from './publisher-channel.ts'
import { declareGroup } from './queues.ts'
import type { RabbitConnectionLike } from './rabbitmq-client.ts'
import { RabbitSubscription } from './subscription.ts'

export interface RabbitMqOptions {
  /** Default 8. Fixed for the life of a topic. */
  readonly partitions?: number
  /** Put before the name of each exchange and queue. Default `holdfast`. */
  readonly prefix?: string
  /** Bound of one call of `publish`, in milliseconds. Default 10 000. */
  readonly publishTimeoutMs?: number
  /** Messages sent and not confirmed yet. Default 256. */
  readonly inFlightMax?: number
  /** A larger payload is refused here, since RabbitMQ would close the channel on all others. Default 16 MiB. */
  readonly payloadBytesMax?: number
  readonly clock?: Clock
  readonly log?: Log
}

export interface RabbitMqBroker extends Broker {
  /**
   * Makes the queues of a group. What is published before is not kept for it, and a topic without any group refuses
   * its messages, so declare the groups where the system is set up.
   */
  declare(options: { topic: string; group: string }): Promise<void>
  /** Deletes the queues of a group with what is in them. */
  removeGroup(options: { topic: string; group: string }): Promise<void>
}

/**
 * RabbitMQ with quorum queues, over the application's own `Connection` of `rabbitmq-client`, which stays the
 * application's: `close` leaves it open.
 *
 * Guarantee: as `Broker` says; stored means confirmed by a majority of each queue's replicas. RabbitMQ knows nothing
 * of leases, so `publisher` is not used. `from: 'earliest'` begins where the group was declared.
 * @throws ConfigError for options that cannot work
 */
export function rabbitmq(connection: RabbitConnectionLike, options: RabbitMqOptions = {}): RabbitMqBroker {
  const {
    partitions = 8,
    prefix = 'holdfast',
    publishTimeoutMs = 10_000,
    inFlightMax = 256,
    payloadBytesMax = 16 * 1024 * 1024,
    clock = systemClock,
    log = silentLog,
  } = optionsOf('rabbitmq', options)
  checkOptions(
    'rabbitmq',
    options,
    ['partitions', 'prefix', 'publishTimeoutMs', 'inFlightMax', 'payloadBytesMax', 'clock', 'log'],
    [
      typeof connection?.acquire === 'function' ||
        'the first argument must be a Connection of rabbitmq-client',
      isCount('partitions', partitions, 1, 1_000),
      isName('prefix', prefix, 40),
      (typeof prefix === 'string' && /^[A-Za-z0-9._-]*$/.test(prefix)) ||
        'prefix may hold letters, digits, dots, - and _',
      isDuration('publishTimeoutMs', publishTimeoutMs),
      isCount('inFlightMax', inFlightMax, 1, 10_000),
      isCount('payloadBytesMax', payloadBytesMax, 1, 512 * 1024 * 1024),
    ],
  )
  // A connection that breaks emits 'error', which ends the process when nobody listens.
  if (connection.listenerCount('error') === 0) connection.on('error', () => {})

  const names = rabbitNames(prefix)
  const life = new BrokerLife<RabbitSubscription>('rabbitmq')
  const declared = new Map<string, Promise<void>>()
  let publisher: PublisherChannel | undefined
  let opening: Promise<PublisherChannel> | undefined

  const broker: RabbitMqBroker = {
    name: 'rabbitmq',
    partitions,

    async publish(batch, { signal }): Promise<readonly PublishResult[]> {
      life.assertOpen()
      signal.throwIfAborted()
      return life.publishing(publish(batch, signal))
    },

    async subscribe(subscription, deliver) {
      life.assertOpen()
      checkSubscription(subscription, partitions)
      const { topic, group, partition } = subscription
      const opened = new RabbitSubscription(
        subscription,
        {
          connection,
          queue: names.queue(topic, group, partition),
          declare: () => declare(topic, group),
          forget: () => declared.delete(groupKey(topic, group)),
          clock,
          log,
          onClose: (s) => life.forget(s),
        },
        deliver,
      )
      try {
        return await life.subscribing(opened, () => opened.start())
      } catch (error) {
        life.assertOpen()
        throw new BrokerUnavailableError('rabbitmq', { cause: error })
      }
    },

    async declare({ topic, group }) {
      life.assertOpen()
      declared.delete(groupKey(topic, group))
      await declare(topic, group)
    },

    removeGroup: ({ topic, group }) =>
      withChannel(async (channel) => {
        declared.delete(groupKey(topic, group))
        for (let partition = 0; partition < partitions; partition++)
          await channel.queueDelete({ queue: names.queue(topic, group, partition) })
      }),

    close: () =>
      life.close(async () => {
        if (publisher !== undefined) await within(clock, 5_000, publisher.close()).catch(() => {})
      }),
    [Symbol.asyncDispose]: () => broker.close(),
  }
  return broker

  function publish(batch: readonly Message[], caller: AbortSignal): Promise<PublishResult[]> {
    const bounds = { name: 'rabbitmq', clock, timeoutMs: publishTimeoutMs }
    return publishInTime(bounds, [caller, life.signal], async (signal) => {
      const channel = await orAbort(openPublisher(), signal)
      return publishInKeyOrder(batch, (message) => send(channel, message, signal, caller), {
        inFlightMax,
        signal,
      })
    })
  }

  async function send(
    channel: PublisherChannel,
    message: Message,
    signal: AbortSignal,
    caller: AbortSignal,
  ): Promise<PublishResult> {
    const check = checkMessage(message)
    if (check !== true) return { kind: 'refused', error: new MessageRefusedError('rabbitmq', check) }
    const bytes = Buffer.byteLength(message.payload)
    if (bytes > payloadBytesMax) {
      const problem = `the payload has ${bytes} bytes, payloadBytesMax is ${payloadBytesMax}`
      return { kind: 'refused', error: new MessageRefusedError('rabbitmq', problem) }
    }
    try {
      return await orAbort(channel.send(message, partitionOfMessage(message, partitions)), signal)
    } catch (error) {
      // A channel that answers nothing for that long is of no use to the next call either.
      if (!caller.aborted && !life.signal.aborted) dropPublisher(channel)
      return { kind: 'unknown', error }
    }
  }

  /** Opened too late for the call that asked, it serves the next one. */
  function openPublisher(): Promise<PublisherChannel> {
    if (publisher?.usable) return Promise.resolve(publisher)
    opening ??= PublisherChannel.open(connection, names)
      .then(async (channel) => {
        if (life.signal.aborted) await channel.close()
        publisher = channel
        return channel
      })
      .finally(() => {
        opening = undefined
      })
    return opening
  }

  function dropPublisher(channel: PublisherChannel): void {
    if (publisher === channel) publisher = undefined
    void channel.close()
  }

  /** Once for all partitions that this process subscribes to. */
  function declare(topic: string, group: string): Promise<void> {
    const key = groupKey(topic, group)
    let declaring = declared.get(key)
    if (declaring === undefined) {
      declaring = withChannel((channel) => declareGroup(channel, names, { topic, group, partitions }))
      declared.set(key, declaring)
      declaring.catch(() => declared.delete(key))
    }
    return declaring
  }

  async function withChannel(
    work: (channel: Awaited<ReturnType<RabbitConnectionLike['acquire']>>) => Promise<void>,
  ): Promise<void> {
    life.assertOpen()
    const channel = await connection.acquire({ emitErrorsFromChannel: true }).catch((error: unknown) => {
      throw new BrokerUnavailableError('rabbitmq', { cause: error })
    })
    channel.on('error', () => {})
    try {
      await work(channel)
    } finally {
      await channel.close()
    }
  }
}

function groupKey(topic: string, group: string): string {
  return `${topic}\0${group}`
}
