import { type Log, silentLog } from '../../core/log.ts'
import {
  checkArguments,
  checkOptions,
  isAtMost,
  isCount,
  isDuration,
  isDurationOrZero,
  isFunction,
  isName,
  isObject,
  optionsOf,
} from '../../core/options.ts'
import { isStore } from '../../store/arguments.ts'
import { sql } from '../../store/sql.ts'
import type { Store } from '../../store/store.ts'
import type { Broker, Delivery, PublishResult, SubscribeOptions } from '../broker.ts'
import { checkSubscription } from '../check.ts'
import { BrokerUnavailableError } from '../errors.ts'
import { BrokerLife } from '../life.ts'
import { CursorWriter } from './cursor-writer.ts'
import { readCursor, registerGroup } from './cursors.ts'
import { type GroupFigures, readGroupFigures } from './figures.ts'
import { Poller } from './poller.ts'
import { publishBatch } from './publish.ts'
import { sweep } from './retention.ts'
import { QueueSubscription } from './subscription.ts'
import { Topics } from './topics.ts'

export interface StoreQueueOptions {
  /** Default 8. Fixed for the life of a topic. */
  readonly partitions?: number
  /**
   * The name of the store that this process publishes from, unique among those that share the queue (`orders`). With
   * it, a relay whose lease has passed to another is refused; it needs the tables of `holdfast/fence` beside the queue's.
   */
  readonly source?: string
  /** Wait between two reads while messages come and shortly after, in milliseconds. Default 5. */
  readonly pollMinMs?: number
  /** The longest wait; a wait is a fifth of the time in which nothing came. Default 500. */
  readonly pollMaxMs?: number
  /** How often acknowledgements are stored, in milliseconds. Default 50; a crash redelivers at most that much. */
  readonly ackEveryMs?: number
  /** Bound of one call of `publish`, in milliseconds. Default 10 000. */
  readonly publishTimeoutMs?: number
  /** How far one group may run ahead of its oldest unacknowledged message in a partition. Default 10 000 messages. */
  readonly aheadMax?: number
  /** What every known group has acknowledged is kept for at least this long. Default one hour. */
  readonly retentionMs?: number
  /** What some group has not acknowledged is removed after this long. Default: never. */
  readonly retentionMaxMs?: number
  /** Pause between two rounds of removing, in milliseconds. Default 5 000. */
  readonly sweepEveryMs?: number
  readonly log?: Log
}

export interface StoreQueue extends Broker {
  /** Makes a group known, so that it receives what is published from now on (and, from `earliest`, what is kept). */
  declare(options: { topic: string; group: string; from?: 'earliest' | 'latest' }): Promise<void>
  /** Forgets a group, so that nothing is kept for it any more. No one may be subscribed. */
  removeGroup(options: { topic: string; group: string }): Promise<void>
  /** Removes one round of old messages now; subscribed processes do it by themselves. */
  sweep(): Promise<{ removed: number }>
  figures(): Promise<{ readonly groups: readonly GroupFigures[] }>
}

/**
 * A store as the queue: one SQLite file or one PostgreSQL database that the services share. The tables are
 * `queueTables`; the store stays the application's.
 *
 * Guarantee: as `Broker` says. Stored means committed in the store. A log per partition, a cursor per group; what a
 * process had not acknowledged when it died is read again by whoever subscribes next, at once.
 * @throws ConfigError for options that cannot work
 */
export function storeQueue(store: Store, options: StoreQueueOptions = {}): StoreQueue {
  checkArguments('storeQueue', isStore(store), isObject('options', options))
  const {
    partitions,
    source,
    pollMinMs,
    pollMaxMs,
    ackEveryMs,
    publishTimeoutMs,
    aheadMax,
    retentionMs,
    retentionMaxMs,
    sweepEveryMs,
    log,
  } = resolveStoreQueueOptions(options)
  const topics = new Topics(store, partitions, publishTimeoutMs)
  const poller = new Poller(store, { pollMinMs, pollMaxMs, log })
  const cursors = new CursorWriter(store, ackEveryMs, log)
  const life = new BrokerLife<QueueSubscription>('store-queue')
  /** Ends the rounds of removing; undefined while there are none. */
  let sweeping: AbortController | undefined
  let swept: Promise<unknown> = Promise.resolve()

  const queue: StoreQueue = {
    name: 'store-queue',
    partitions,

    async publish(batch, { signal, publisher }): Promise<readonly PublishResult[]> {
      life.assertOpen()
      const call = publishBatch({ store, topics, partitions, source, timeoutMs: publishTimeoutMs }, batch, {
        signal,
        ...(publisher && { publisher }),
        onStoring: (ends) => poller.expect(ends),
        onStored: (ends) => poller.announce(ends),
      })
      return life.publishing(call)
    },

    async subscribe(subscription, deliver) {
      life.assertOpen()
      checkSubscription(subscription, partitions)
      checkArguments('subscribe', isFunction('deliver', deliver))
      const opened = await open(subscription, deliver)
      return life.subscribing(opened, async () => {
        poller.add(opened)
        if (sweeping === undefined) startSweeping()
      })
    },

    async declare(options) {
      life.assertOpen()
      const { topic, group, from = 'earliest' } = optionsOf('storeQueue.declare', options)
      checkOptions('storeQueue.declare', options, ['topic', 'group', 'from'], [])
      checkSubscription({ topic, group, from, partition: 0, prefetch: 1 }, partitions)
      await registerGroup(store, group, await topics.ids(topic), from)
    },

    async removeGroup(options) {
      const { topic, group } = optionsOf('storeQueue.removeGroup', options)
      checkOptions(
        'storeQueue.removeGroup',
        options,
        ['topic', 'group'],
        [isName('topic', topic), isName('group', group)],
      )
      const ids = await topics.ids(topic)
      await store.execute(
        sql`delete from ${store.table('queue_cursor')} where group_name = ${group} and ${store.dialect.isOneOf(sql`partition_id`, 'bigint', ids)}`,
      )
    },

    sweep: async () => {
      const { removed } = await sweep(store, { retentionMs, retentionMaxMs }, life.signal)
      return { removed }
    },

    figures: async () => ({ groups: await readGroupFigures(store) }),

    close: () => life.close(() => Promise.all([poller.stop(), cursors.stop(), stopSweeping()])),
    [Symbol.asyncDispose]: () => queue.close(),
  }
  return queue

  async function open(
    subscription: SubscribeOptions,
    deliver: (delivery: Delivery) => void,
  ): Promise<QueueSubscription> {
    const { topic, group, partition, from = 'earliest' } = subscription
    const ids = await topics.ids(topic)
    const partitionId = ids[partition] as bigint
    await registerGroup(store, group, ids, from)
    const cursor = await readCursor(store, group, partitionId)
    if (cursor === undefined) throw new BrokerUnavailableError(queue.name)
    const opened = new QueueSubscription(subscription, { partitionId, cursor, aheadMax }, deliver, {
      onProgress: (s) => cursors.mark(s),
      onRoom: (s) => {
        if (poller.isWorthReading(s)) poller.wake()
      },
      onClose: async (s) => {
        poller.remove(s)
        life.forget(s)
        if (!life.hasSubscriptions) void stopSweeping()
        try {
          await cursors.flush()
        } finally {
          cursors.forget(s)
        }
      },
    })
    return opened
  }

  function startSweeping(): void {
    sweeping = new AbortController()
    swept = Promise.all([swept, sweepRounds(sweeping.signal)])
  }

  function stopSweeping(): Promise<unknown> {
    sweeping?.abort()
    sweeping = undefined
    return swept
  }

  /** Until `signal` fires: when the last subscription is closed. Never rejects. */
  async function sweepRounds(signal: AbortSignal): Promise<void> {
    const { clock } = store
    let soon = false
    while (!signal.aborted) {
      try {
        // Processes part by the random half, so that they do not sweep the same rows together.
        await clock.sleep(soon ? 100 : sweepEveryMs * (0.5 + clock.random()), signal)
        soon = (await sweep(store, { retentionMs, retentionMaxMs }, signal)).more
      } catch (error) {
        soon = false
        if (!signal.aborted) log.warn('removing old messages of the queue failed', { error })
      }
    }
  }
}

function resolveStoreQueueOptions(given: StoreQueueOptions) {
  const {
    partitions = 8,
    source,
    pollMinMs = 5,
    pollMaxMs = 500,
    ackEveryMs = 50,
    publishTimeoutMs = 10_000,
    aheadMax = 10_000,
    retentionMs = 3_600_000,
    retentionMaxMs,
    sweepEveryMs = 5_000,
    log = silentLog,
  } = given
  checkOptions(
    'storeQueue',
    given,
    [
      'partitions',
      'source',
      'pollMinMs',
      'pollMaxMs',
      'ackEveryMs',
      'publishTimeoutMs',
      'aheadMax',
      'retentionMs',
      'retentionMaxMs',
      'sweepEveryMs',
      'log',
    ],
    [
      isCount('partitions', partitions, 1, 1_000),
      source === undefined || isName('source', source, 100),
      isDuration('pollMinMs', pollMinMs),
      isDuration('pollMaxMs', pollMaxMs),
      isAtMost('pollMinMs', pollMinMs, 'pollMaxMs', pollMaxMs),
      isDuration('ackEveryMs', ackEveryMs),
      isDuration('publishTimeoutMs', publishTimeoutMs),
      isCount('aheadMax', aheadMax, 1, 10_000_000),
      isDurationOrZero('retentionMs', retentionMs),
      retentionMaxMs === undefined || isDuration('retentionMaxMs', retentionMaxMs),
      retentionMaxMs === undefined || isAtMost('retentionMs', retentionMs, 'retentionMaxMs', retentionMaxMs),
      isDuration('sweepEveryMs', sweepEveryMs),
    ],
  )
  return Object.freeze({
    partitions,
    source,
    pollMinMs,
    pollMaxMs,
    ackEveryMs,
    publishTimeoutMs,
    aheadMax,
    retentionMs: Math.ceil(retentionMs),
    retentionMaxMs: retentionMaxMs === undefined ? undefined : Math.ceil(retentionMaxMs),
    sweepEveryMs,
    log,
  })
}
