import type { Broker } from '../broker/broker.ts'
import type { Backoff } from '../core/backoff.ts'
import { type Log, silentLog } from '../core/log.ts'
import {
  type Check,
  checkArguments,
  checkOptions,
  isAtMost,
  isCount,
  isDuration,
  isName,
  isObject,
} from '../core/options.ts'
import type { OpenListenClient } from '../store/listener.ts'

export interface RelayOptions {
  readonly broker: Broker
  /** Messages read, published and deleted at a time. Default 1 000. */
  readonly batchSize?: number
  /** Batches that may be on their way (being published or deleted) at once. Default 4. */
  readonly inFlight?: number
  /** Pause between two looks for messages of other processes, while they come and shortly after. Default 2. */
  readonly pollMinMs?: number
  /**
   * The longest pause. A pause is a fifth of the time in which none came, up to this. Default 1 000, and 5 000 while
   * `listen` works. Commits of this process wake the relay at once.
   */
  readonly pollMaxMs?: number
  /**
   * PostgreSQL: opens a connected `pg` client that nothing else uses, over which the relay hears of commits of
   * processes whose outbox has `notify`. Opened again when it breaks; the poll goes on beside it.
   */
  readonly listen?: OpenListenClient
  /** After a crash another relay takes over once this long has passed. Default 5 000. */
  readonly ttlMs?: number
  /** Tells relays apart in `holdfast status`. Default: host name, process id and a random part. */
  readonly owner?: string
  readonly retry?: {
    /** Wait before the second attempt, about. Default 200. Doubles each time. */
    readonly baseMs?: number
    /** The longest wait. Default 60 000. */
    readonly capMs?: number
    /** Attempts before a message becomes a dead letter, where its topic does not say. Default 20. */
    readonly attemptsMax?: number
  }
  /** `true`: nothing runs by itself, and only `drainOnce()` works; for tests and serverless functions. Default false. */
  readonly manual?: boolean
  readonly log?: Log
  /** Stops the relay when it fires, as `stop()` does. */
  readonly signal?: AbortSignal
}

export interface ResolvedRelayOptions {
  readonly broker: Broker
  readonly batchSize: number
  readonly inFlight: number
  readonly pollMinMs: number
  readonly pollMaxMs: number
  /** In place of `pollMaxMs` while `listen` works. */
  readonly pollMaxListeningMs: number
  readonly listen: OpenListenClient | undefined
  readonly ttlMs: number
  readonly owner: string | undefined
  readonly backoff: Backoff
  readonly attemptsMax: number
  readonly manual: boolean
  readonly log: Log
  readonly signal: AbortSignal | undefined
}

const POLL_MAX_MS = 1_000
const POLL_MAX_LISTENING_MS = 5_000

const KNOWN = [
  'broker',
  'batchSize',
  'inFlight',
  'pollMinMs',
  'pollMaxMs',
  'listen',
  'ttlMs',
  'owner',
  'retry',
  'manual',
  'log',
  'signal',
]

/** @throws ConfigError with every problem */
export function resolveRelayOptions(given: RelayOptions): ResolvedRelayOptions {
  checkArguments(
    'outbox.relay',
    isObject('options', given),
    given?.retry === undefined || isObject('retry', given.retry),
  )
  const { broker, batchSize = 1_000, inFlight = 4, pollMinMs = 2, ttlMs = 5_000 } = given
  const { pollMaxMs = POLL_MAX_MS, listen } = given
  const { owner, retry = {}, manual = false, log = silentLog, signal } = given
  const { baseMs = 200, capMs = 60_000, attemptsMax = 20 } = retry
  const checks: Check[] = [
    typeof broker?.publish === 'function' || 'broker must be a Broker',
    isCount('batchSize', batchSize, 1, 10_000),
    isCount('inFlight', inFlight, 1, 64),
    isDuration('pollMinMs', pollMinMs),
    isDuration('pollMaxMs', pollMaxMs),
    isAtMost('pollMinMs', pollMinMs, 'pollMaxMs', pollMaxMs),
    isDuration('ttlMs', ttlMs),
    owner === undefined || isName('owner', owner),
    isDuration('retry.baseMs', baseMs),
    isDuration('retry.capMs', capMs),
    isAtMost('retry.baseMs', baseMs, 'retry.capMs', capMs),
    isCount('retry.attemptsMax', attemptsMax, 1, 1_000_000),
    ...Object.keys(retry)
      .filter((name) => !['baseMs', 'capMs', 'attemptsMax'].includes(name))
      .map((name) => `unknown option "retry.${name}" (known: baseMs, capMs, attemptsMax)`),
    listen === undefined || typeof listen === 'function' || 'listen must be a function that opens a client',
    !(manual === true && listen !== undefined) || 'listen is of no use to a manual relay',
    typeof manual === 'boolean' || 'manual must be true or false',
  ]
  checkOptions('outbox.relay', given, KNOWN, checks)
  return Object.freeze({
    broker,
    batchSize,
    inFlight,
    pollMinMs,
    pollMaxMs,
    pollMaxListeningMs: given.pollMaxMs ?? POLL_MAX_LISTENING_MS,
    listen,
    ttlMs,
    owner,
    backoff: { baseMs, capMs },
    attemptsMax,
    manual,
    log,
    signal,
  })
}
