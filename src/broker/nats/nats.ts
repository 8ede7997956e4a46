import { orAbort } from '../../core/abort.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import { type Log, silentLog } from '../../core/log.ts'
import { checkOptions, isAtMost, isCount, isDuration, isName, optionsOf } from '../../core/options.ts'
import type { Broker, Message, PublishResult } from '../broker.ts'
import { checkMessage, checkSubscription } from '../check.ts'
import { BrokerUnavailableError, MessageRefusedError } from '../errors.ts'
import { publishInKeyOrder } from '../in-key-order.ts'
import { BrokerLife } from '../life.ts'
import { partitionOfMessage } from '../partition.ts'
import { publishInTime } from '../publish-in-time.ts'
import { deduplicationId, writeHeaders } from './envelope.ts'
import { natsNames } from './names.ts'
import type { JetStreamLike, JetStreamManagerLike, NatsHeadersLike } from './nats-client.ts'
import { isMissing, NatsSubscription } from './subscription.ts'

export interface NatsClient {
  /** `jetstream(connection)` of `@nats-io/jetstream`. */
  readonly jetstream: JetStreamLike
  /** `headers` of `@nats-io/transport-node`. */
  readonly headers: () => NatsHeadersLike
}

export interface NatsOptions {
  /** Default 8. Fixed for the life of a topic. */
  readonly partitions?: number
  /** First token of each subject and beginning of each stream's name. Default `holdfast`. */
  readonly prefix?: string
  /** Bound of one call of `publish`, in milliseconds. Default 10 000. */
  readonly publishTimeoutMs?: number
  /** Messages sent and not answered yet. Default 256. */
  readonly inFlightMax?: number
  /** How long the server keeps a message, consumed or not; for new streams. Default seven days. */
  readonly retentionMs?: number
  /** Replicas of new streams. Default 1; 3 survives the loss of a server. */
  readonly replicas?: number
  /** How long the server remembers ids to drop repeated messages; for new streams. Default two minutes. */
  readonly deduplicateMs?: number
  /** When the server repeats a delivery whose acknowledgement it did not get. Default 10 000. */
  readonly ackWaitMs?: number
  readonly clock?: Clock
  readonly log?: Log
}

export interface NatsBroker extends Broker {
  /** Makes the stream of a topic, so that what is published is kept for groups that come later. */
  declare(options: { topic: string }): Promise<void>
}

/**
 * NATS JetStream, over the application's own connection, which stays the application's: `close` leaves it open.
 *
 * Guarantee: as `Broker` says; stored means acknowledged by the stream. JetStream knows nothing of leases, so
 * `publisher` is not used. A group that the server does not know begins at the oldest kept message.
 * @throws ConfigError for options that cannot work
 */
export function nats(client: NatsClient, options: NatsOptions = {}): NatsBroker {
  const {
    partitions = 8,
    prefix = 'holdfast',
    publishTimeoutMs = 10_000,
    inFlightMax = 256,
    retentionMs = 7 * 24 * 3_600_000,
    replicas = 1,
    deduplicateMs = 120_000,
    ackWaitMs = 10_000,
    clock = systemClock,
    log = silentLog,
  } = optionsOf('nats', options)
  checkOptions(
    'nats',
    options,
    [
      'partitions',
      'prefix',
      'publishTimeoutMs',
      'inFlightMax',
      'retentionMs',
      'replicas',
      'deduplicateMs',
      'ackWaitMs',
      'clock',
      'log',
    ],
    [
      (typeof client?.jetstream?.publish === 'function' && typeof client.headers === 'function') ||
        'the first argument must be { jetstream: jetstream(connection), headers }',
      isCount('partitions', partitions, 1, 1_000),
      isName('prefix', prefix, 40),
      (typeof prefix === 'string' && /^[A-Za-z0-9_-]*$/.test(prefix)) ||
        'prefix may hold letters, digits, - and _',
      isDuration('publishTimeoutMs', publishTimeoutMs),
      isCount('inFlightMax', inFlightMax, 1, 10_000),
      isDuration('retentionMs', retentionMs),
      isCount('replicas', replicas, 1, 5),
      isDuration('deduplicateMs', deduplicateMs),
      isAtMost('deduplicateMs', deduplicateMs, 'retentionMs', retentionMs),
      isDuration('ackWaitMs', ackWaitMs),
    ],
  )
  const { jetstream, headers } = client
  const names = natsNames(prefix)
  const streams = new Map<string, Promise<void>>()
  const life = new BrokerLife<NatsSubscription>('nats')
  let managing: Promise<JetStreamManagerLike> | undefined

  const broker: NatsBroker = {
    name: 'nats',
    partitions,

    async publish(batch, { signal }): Promise<readonly PublishResult[]> {
      life.assertOpen()
      signal.throwIfAborted()
      return life.publishing(publish(batch, signal))
    },

    async subscribe(subscription, deliver) {
      life.assertOpen()
      checkSubscription(subscription, partitions)
      try {
        await ensureStream(subscription.topic)
        const opened = new NatsSubscription(
          subscription,
          {
            jetstream,
            manager: await manager(),
            names,
            ackWaitMs,
            clock,
            log,
            onClose: (s) => life.forget(s),
          },
          deliver,
        )
        return await life.subscribing(opened, () => opened.start())
      } catch (error) {
        life.assertOpen()
        throw new BrokerUnavailableError('nats', { cause: error })
      }
    },

    async declare({ topic }) {
      life.assertOpen()
      await ensureStream(topic)
    },

    close: () => life.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }
  return broker

  function publish(batch: readonly Message[], caller: AbortSignal): Promise<PublishResult[]> {
    const bounds = { name: 'nats', clock, timeoutMs: publishTimeoutMs }
    return publishInTime(bounds, [caller, life.signal], async (signal) => {
      const topics = new Set(batch.filter((m) => checkMessage(m) === true).map((m) => m.topic))
      await orAbort(Promise.all([...topics].map(ensureStream)), signal)
      return publishInKeyOrder(batch, (message) => send(message, signal), { inFlightMax, signal })
    })
  }

  async function send(message: Message, signal: AbortSignal): Promise<PublishResult> {
    const check = checkMessage(message)
    if (check !== true) return { kind: 'refused', error: new MessageRefusedError('nats', check) }
    try {
      const fields = headers()
      writeHeaders(fields, message)
      const sending = jetstream.publish(
        names.subject(message.topic, partitionOfMessage(message, partitions)),
        message.payload,
        {
          msgID: deduplicationId(message),
          headers: fields,
          timeout: publishTimeoutMs,
          expect: { streamName: names.stream(message.topic) },
        },
      )
      await orAbort(sending, signal)
      return { kind: 'stored' }
    } catch (error) {
      if (isTooLarge(error)) {
        const reason = 'it is larger than the server or the stream allows'
        return { kind: 'refused', error: new MessageRefusedError('nats', reason, { cause: error }) }
      }
      if (isMissing(error) || (error as Error).name === 'JetStreamNotEnabled') streams.delete(message.topic)
      return { kind: 'unknown', error }
    }
  }

  function manager(): Promise<JetStreamManagerLike> {
    managing ??= jetstream.jetstreamManager(false)
    managing.catch(() => {
      managing = undefined
    })
    return managing
  }

  /** Once per process and topic. A stream that exists keeps its settings. */
  function ensureStream(topic: string): Promise<void> {
    let ensured = streams.get(topic)
    if (ensured === undefined) {
      ensured = makeStream(topic)
      streams.set(topic, ensured)
      ensured.catch(() => streams.delete(topic))
    }
    return ensured
  }

  async function makeStream(topic: string): Promise<void> {
    const { streams: api } = await manager()
    const name = names.stream(topic)
    try {
      await api.info(name)
    } catch (error) {
      if (!isMissing(error)) throw error
      await api.add({
        name,
        description: `Holdfast topic ${JSON.stringify(topic)}`,
        subjects: [names.subjects(topic)],
        retention: 'limits',
        storage: 'file',
        discard: 'old',
        max_age: retentionMs * 1_000_000,
        duplicate_window: deduplicateMs * 1_000_000,
        num_replicas: replicas,
      })
    }
  }
}

/** The client's own check against the server's `max_payload`, and the API's code for a stream's `max_msg_size`. */
function isTooLarge(error: unknown): boolean {
  const { message, code } = error as { message?: string; code?: number }
  return code === 10054 || /max_payload/.test(message ?? '')
}
