import type { Message } from '../broker/index.ts'
import {
  type Check,
  checkArguments,
  checkOptions,
  isCount,
  isFunction,
  isName,
  isObject,
  isSchema,
  show,
} from '../core/options.ts'
import type { LeaseRef } from '../lease/index.ts'
import { isStore, isTransaction } from '../store/arguments.ts'
import type { Store, Transaction } from '../store/index.ts'
import {
  type Consumer,
  type ConsumerFigures,
  type DrainUntilIdleOptions,
  drainConsumer,
  startConsumer,
} from './consumer.ts'
import {
  type BatchHandler,
  type ConsumerBase,
  type Handler,
  resolveConsumerOptions,
} from './consumer-options.ts'
import { type Handled, handleMessage } from './handle.ts'
import type { InboxTopic, InboxTopics, PayloadOf, ReceivedMessage } from './received-message.ts'

export interface InboxOptions<Topics extends InboxTopics> {
  /** Topics with a schema or a rule of their own. A topic that is not named here is taken as it comes. */
  readonly topics?: Topics
  /**
   * How long it is remembered that a message was handled. A duplicate that arrives later than this is handled again.
   * Units: milliseconds on the store's clock. Default: 7 days.
   */
  readonly windowMs?: number
  /** The longest payload accepted, in bytes of UTF-8; what is longer becomes a dead letter. Default 1 MiB. */
  readonly payloadLimitBytes?: number
}

export type ConsumerOptions<Topics extends InboxTopics, Name extends string> = ConsumerBase &
  (
    | { readonly topic: Name; readonly topics?: undefined }
    /** Several topics with one handler. There is no order between topics. */
    | { readonly topics: readonly Name[]; readonly topic?: undefined }
  ) &
  (
    | {
        readonly handler: Handler<PayloadOf<Topics, Name>>
        readonly batchHandler?: undefined
        readonly batch?: undefined
      }
    | {
        readonly batchHandler: BatchHandler<PayloadOf<Topics, Name>>
        /** At most this many messages in one transaction. Default 100. */
        readonly batch?: { readonly sizeMax?: number }
        readonly handler?: undefined
      }
  )

export interface Inbox<Topics extends InboxTopics = InboxTopics> {
  /**
   * Handles a message in the caller's transaction: writes its effect row first, then checks the message, then runs
   * `work`.
   *
   * Guarantee: at-least-once delivery, effectively-once effect. Of all calls with this message and group, `work` takes
   * effect in one committed transaction. When this rejects, roll back: the effect row goes with the rest. The group is
   * `default` where none is given; two handlers of one store that are to handle the same message need two names.
   * @throws MessageInvalidError when the payload does not fit; StaleEpochError when `lease` has passed to another
   */
  handle<Result, Name extends string>(
    tx: Transaction,
    message: Message & { readonly topic: Name },
    work: (message: ReceivedMessage<PayloadOf<Topics, Name>>) => Promise<Result>,
    options?: { readonly group?: string; readonly lease?: LeaseRef },
  ): Promise<Handled<Result>>

  /**
   * Starts to consume `topic` for `group`, each message in one transaction with its effect row, the handler's writes
   * and its publishes.
   *
   * Guarantee: messages of one key are handled one after the other in the order of delivery, by one process at a time.
   * A message that keeps failing becomes a dead letter in the same store.
   * @throws ConfigError with every problem at once. A missing or unreadable schema rejects `done`.
   */
  consumer<Name extends (keyof Topics & string) | (string & {})>(
    options: ConsumerOptions<Topics, Name>,
  ): Consumer

  /**
   * Consumes until nothing has come for `idleMs`, and stops: for serverless functions and cron. Gives what was done. What
   * comes later, and what another process of the group has in hand, waits for the next call.
   * @throws DrainTimeoutError when `deadlineMs` passes first, with what is in hand given back; what ended the consumer
   */
  drainOnce<Name extends (keyof Topics & string) | (string & {})>(
    options: ConsumerOptions<Topics, Name>,
    drain?: DrainUntilIdleOptions,
  ): Promise<ConsumerFigures>
}

/** @throws ConfigError with every problem at once */
export function createInbox<const Topics extends InboxTopics = Record<never, never>>(
  store: Store,
  options: InboxOptions<Topics> = {},
): Inbox<Topics> {
  checkArguments('createInbox', isStore(store), isObject('options', options))
  const { topics = {} as Topics, windowMs = 604_800_000, payloadLimitBytes = 1_048_576 } = options
  checkOptions(
    'createInbox',
    options,
    ['topics', 'windowMs', 'payloadLimitBytes'],
    [
      (typeof windowMs === 'number' && windowMs > 0 && windowMs <= TEN_YEARS_MS) ||
        `windowMs must be a number of milliseconds above 0 and at most ten years, got ${show(windowMs)}`,
      isCount('payloadLimitBytes', payloadLimitBytes, 1, 268_435_456),
      isObject('topics', topics),
      ...Object.entries(topics ?? {}).flatMap(([name, topic]) => topicChecks(name, topic)),
    ],
  )
  // No prototype: a topic may be called "constructor".
  const known: InboxTopics = Object.freeze(Object.assign(Object.create(null), topics))
  const rules = { topics: known, payloadLimitBytes }

  return {
    handle: async (tx, message, work, options = {}) => {
      checkArguments(
        'inbox.handle',
        isTransaction(tx),
        isObject('message', message),
        isFunction('the work', work),
        isObject('options', options),
      )
      const { group = 'default', lease, ...rest } = options
      checkOptions('inbox.handle', rest, ['group', 'lease'], [isName('group', group, 150)])
      return handleMessage(
        tx,
        message,
        work as (message: ReceivedMessage) => ReturnType<typeof work>,
        rules,
        {
          group,
          lease,
        },
      )
    },
    consumer,
    drainOnce: (given, drain) => drainConsumer(() => consumer(given), drain),
  }

  function consumer<Name extends (keyof Topics & string) | (string & {})>(
    given: ConsumerOptions<Topics, Name>,
  ): Consumer {
    return startConsumer(store, rules, windowMs, resolveConsumerOptions(given))
  }
}

const TEN_YEARS_MS = 315_576_000_000

function topicChecks(name: string, topic: InboxTopic): Check[] {
  const at = `topics[${JSON.stringify(name)}]`
  const object = isObject(at, topic)
  if (object !== true) return [object]
  return [
    isName('a topic', name),
    ...Object.keys(topic)
      .filter((key) => key !== 'schema' && key !== 'onPoison')
      .map((key) => `unknown option ${at}.${key} (known: schema, onPoison)`),
    topic.schema === undefined || isSchema(`${at}.schema`, topic.schema),
    topic.onPoison === undefined ||
      ['block', 'skip'].includes(topic.onPoison) ||
      `${at}.onPoison must be block or skip, got ${show(topic.onPoison)}`,
  ]
}
