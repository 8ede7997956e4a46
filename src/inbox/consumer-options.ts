import type { Broker } from '../broker/index.ts'
import { type Log, silentLog } from '../core/log.ts'
import {
  type Check,
  checkArguments,
  checkOptions,
  isAtMost,
  isCount,
  isDuration,
  isDurationOrZero,
  isFunction,
  isList,
  isName,
  isObject,
} from '../core/options.ts'
import { uniqueOwner } from '../lease/index.ts'
import type { Isolation, OwnTransaction } from '../store/index.ts'
import { isIsolation } from '../store/transaction-options.ts'
import type { ConsumerRetry } from './next-step.ts'
import type { ReceivedMessage } from './received-message.ts'

export interface HandlerContext {
  /**
   * Fires when the lease of the partition is lost, when `handlerTimeoutMs` has passed, and when a `stop` has waited for
   * its `drainMs`. The transaction is rolled back then, whether or not the handler takes notice.
   */
  readonly signal: AbortSignal
  /** 1 at the first try, as far as is known: a crash in the first try is not counted. */
  readonly attempt: number
}

/** Runs inside one transaction: what it writes and publishes through `tx` stands or falls with the message. */
export type Handler<Payload> = (
  tx: OwnTransaction,
  message: ReceivedMessage<Payload>,
  context: HandlerContext,
) => Promise<unknown>

/** Like Handler, with several messages in one transaction. Those of one key stand in order. */
export type BatchHandler<Payload> = (
  tx: OwnTransaction,
  messages: readonly ReceivedMessage<Payload>[],
  context: HandlerContext,
) => Promise<unknown>

export interface ConsumerBase {
  readonly broker: Broker
  /** Who shares the messages: each message has its effect once per group. */
  readonly group: string
  /** Handlers that run at once in this process, over keys and partitions. Default 16. */
  readonly concurrency?: number
  /** Messages of one partition in this process at a time, running or waiting. Default 256. */
  readonly prefetch?: number
  /** Default: 10 attempts, waiting from about 100 ms up to 30 s between them. */
  readonly retry?: Partial<ConsumerRetry>
  /** How long the partitions of a process that died stay unserved. Default 10 000. */
  readonly ttlMs?: number
  /** Default: the store's own. */
  readonly isolation?: Isolation
  /** Bound of one attempt, the store's own retries included. Default 30 000. */
  readonly handlerTimeoutMs?: number
  /** How often dead letters that someone asked to retry are looked for. Default 5 000; 0 switches it off. */
  readonly deadLetterPollMs?: number
  /** Where a group that the broker does not know yet begins. Default `earliest`. */
  readonly from?: 'earliest' | 'latest'
  readonly log?: Log
  /** Stops the consumer, as `stop()` does. */
  readonly signal?: AbortSignal
  /** How this process is called among the holders of partitions; a random part is added. Default: host and process number. */
  readonly owner?: string
}

export interface ResolvedConsumer extends Required<Omit<ConsumerBase, 'signal' | 'isolation' | 'retry'>> {
  readonly topics: readonly string[]
  readonly retry: ConsumerRetry
  readonly isolation: Isolation | undefined
  readonly signal: AbortSignal | undefined
  readonly handler: Handler<unknown> | undefined
  readonly batchHandler: BatchHandler<unknown> | undefined
  readonly batchSizeMax: number
}

/** What `inbox.consumer` was given, before checks. */
export interface GivenConsumer extends ConsumerBase {
  readonly topic?: string | undefined
  readonly topics?: readonly string[] | undefined
  readonly handler?: Handler<never> | undefined
  readonly batchHandler?: BatchHandler<never> | undefined
  readonly batch?: { readonly sizeMax?: number } | undefined
}

const KNOWN = [
  'topic',
  'topics',
  'handler',
  'batchHandler',
  'batch',
  'broker',
  'group',
  'concurrency',
  'prefetch',
  'retry',
  'ttlMs',
  'isolation',
  'handlerTimeoutMs',
  'deadLetterPollMs',
  'from',
  'log',
  'signal',
  'owner',
]

/** @throws ConfigError with every problem at once */
export function resolveConsumerOptions(given: GivenConsumer): ResolvedConsumer {
  checkArguments(
    'consumer',
    isObject('options', given),
    given?.topics === undefined || isList('topics', given.topics),
    given?.retry === undefined || isObject('retry', given.retry),
    given?.batch === undefined || isObject('batch', given.batch),
    given?.owner === undefined || isName('owner', given.owner, 100),
    given?.handler === undefined || isFunction('handler', given.handler),
    given?.batchHandler === undefined || isFunction('batchHandler', given.batchHandler),
  )
  const { attemptsMax = 10, baseMs = 100, capMs = 30_000 } = given.retry ?? {}
  const resolved: ResolvedConsumer = {
    broker: given.broker,
    group: given.group,
    topics: given.topics ?? (given.topic === undefined ? [] : [given.topic]),
    concurrency: given.concurrency ?? 16,
    prefetch: given.prefetch ?? 256,
    retry: { attemptsMax, baseMs, capMs },
    ttlMs: given.ttlMs ?? 10_000,
    isolation: given.isolation,
    handlerTimeoutMs: given.handlerTimeoutMs ?? 30_000,
    deadLetterPollMs: given.deadLetterPollMs ?? 5_000,
    from: given.from ?? 'earliest',
    log: given.log ?? silentLog,
    signal: given.signal,
    owner: uniqueOwner(given.owner),
    handler: given.handler as Handler<unknown> | undefined,
    batchHandler: given.batchHandler as BatchHandler<unknown> | undefined,
    batchSizeMax: given.batchHandler === undefined ? 1 : (given.batch?.sizeMax ?? 100),
  }
  checkOptions('consumer', given, KNOWN, [
    typeof given.broker?.subscribe === 'function' || 'broker must be a Broker',
    isName('group', given.group, 150),
    ...topicChecks(given, resolved.topics),
    (given.handler === undefined) !== (given.batchHandler === undefined) ||
      'give either handler or batchHandler',
    given.batch === undefined || given.batchHandler !== undefined || 'batch needs a batchHandler',
    isCount('batch.sizeMax', resolved.batchSizeMax, 1, 10_000),
    isCount('concurrency', resolved.concurrency, 1, 10_000),
    isCount('prefetch', resolved.prefetch, 1, 65_535),
    isCount('retry.attemptsMax', attemptsMax, 1, 1_000),
    isDuration('retry.baseMs', baseMs),
    isDuration('retry.capMs', capMs),
    isAtMost('retry.baseMs', baseMs, 'retry.capMs', capMs),
    ...unknownKeys('retry', given.retry, ['attemptsMax', 'baseMs', 'capMs']),
    ...unknownKeys('batch', given.batch, ['sizeMax']),
    given.isolation === undefined || isIsolation(given.isolation),
    isDuration('ttlMs', resolved.ttlMs),
    isDuration('handlerTimeoutMs', resolved.handlerTimeoutMs),
    isDurationOrZero('deadLetterPollMs', resolved.deadLetterPollMs),
    ['earliest', 'latest'].includes(resolved.from) || 'from must be earliest or latest',
  ])
  return Object.freeze(resolved)
}

function topicChecks(given: GivenConsumer, topics: readonly string[]): Check[] {
  if ((given.topic === undefined) === (given.topics === undefined)) return ['give either topic or topics']
  if (topics.length === 0) return ['topics is empty']
  if (new Set(topics).size !== topics.length) return ['topics names a topic twice']
  return topics.flatMap((topic) => [
    isName('topic', topic),
    // Together they name the scope of leases, which has a limit of 200.
    typeof topic !== 'string' ||
      typeof given.group !== 'string' ||
      given.group.length + topic.length <= 180 ||
      'group and topic must have at most 180 characters together',
  ])
}

function unknownKeys(name: string, given: object | undefined, known: readonly string[]): Check[] {
  return Object.keys(given ?? {})
    .filter((key) => !known.includes(key))
    .map((key) => `unknown option "${name}.${key}" (known: ${known.join(', ')})`)
}
