import { type Log, silentLog } from '../core/log.ts'
import { type Check, checkOptions, isCount, isName, isObject, isSchema, show } from '../core/options.ts'
import type { TopicOptions, Topics } from './message.ts'

export interface OutboxOptions<T extends Topics = Topics> {
  /** What each topic takes and how it behaves. */
  readonly topics?: T
  /** Topics that are not declared. Default: `refuse` where topics are declared (a misspelt one is found), else `allow`. */
  readonly otherTopics?: 'allow' | 'refuse'
  /** Tells several outboxes in one store apart. Default `default`. */
  readonly name?: string
  /**
   * How many parts relays can share. Fixed for the life of an outbox: changing it while messages wait moves keys to
   * other partitions. Default 16.
   */
  readonly partitions?: number
  /** The most UTF-8 bytes that one payload may have as JSON. Default 1 MiB. */
  readonly payloadLimitBytes?: number
  /**
   * PostgreSQL: announces each commit of this process to relays with `listen`, by a NOTIFY after the COMMIT and outside
   * of the transaction. Default false, which leaves other processes to their poll.
   */
  readonly notify?: boolean
  /** Told of announcements that failed. */
  readonly log?: Log
}

export interface ResolvedOutboxOptions {
  readonly name: string
  readonly partitions: number
  readonly payloadLimitBytes: number
  readonly notify: boolean
  readonly log: Log
  readonly otherTopics: 'allow' | 'refuse'
  readonly topics: ReadonlyMap<string, TopicOptions>
}

/** @throws ConfigError with every problem */
export function resolveOutboxOptions(given: OutboxOptions): ResolvedOutboxOptions {
  const { name = 'default', partitions = 16, payloadLimitBytes = 1_048_576, topics = {} } = given
  const { notify = false, log = silentLog } = given
  const { otherTopics = given.topics === undefined ? 'allow' : 'refuse' } = given
  checkOptions(
    'createOutbox',
    given,
    ['topics', 'otherTopics', 'name', 'partitions', 'payloadLimitBytes', 'notify', 'log'],
    [
      isName('name', name, 100),
      isCount('partitions', partitions, 1, 1024),
      isCount('payloadLimitBytes', payloadLimitBytes, 1, 268_435_456),
      ['allow', 'refuse'].includes(otherTopics) ||
        `otherTopics must be allow or refuse, got ${show(otherTopics)}`,
      typeof notify === 'boolean' || 'notify must be true or false',
      isObject('topics', topics),
      ...Object.entries(topics ?? {}).flatMap(([topic, options]) => checkTopic(topic, options)),
    ],
  )
  return Object.freeze({
    name,
    partitions,
    payloadLimitBytes,
    notify,
    log,
    otherTopics,
    topics: new Map(Object.entries(topics)),
  })
}

const TOPIC_OPTIONS = ['schema', 'onFailure', 'order', 'attemptsMax']

function checkTopic(topic: string, options: TopicOptions): Check[] {
  const at = (name: string): string => `topics[${JSON.stringify(topic)}].${name}`
  const object = isObject(`topics[${JSON.stringify(topic)}]`, options)
  if (object !== true) return [object]
  const { schema, onFailure, order, attemptsMax } = options
  return [
    isName('a topic', topic),
    ...Object.keys(options)
      .filter((name) => !TOPIC_OPTIONS.includes(name))
      .map((name) => `unknown option ${at(name)} (known: ${TOPIC_OPTIONS.join(', ')})`),
    schema === undefined || isSchema(at('schema'), schema),
    onFailure === undefined ||
      ['block', 'skip'].includes(onFailure) ||
      `${at('onFailure')} must be block or skip, got ${show(onFailure)}`,
    order === undefined ||
      ['publish', 'commit'].includes(order) ||
      `${at('order')} must be publish or commit, got ${show(order)}`,
    attemptsMax === undefined || isCount(at('attemptsMax'), attemptsMax, 1, 1_000_000),
  ]
}
