import { createHash, randomUUID } from 'node:crypto'
import { partitionOf } from '../broker/partition.ts'
import { ConfigError, PayloadError } from '../core/errors.ts'
import { encodeJson } from '../core/json.ts'
import { type Check, isName, show } from '../core/options.ts'
import { checkSchema, type SchemaInput, type StandardSchemaV1 } from '../core/standard-schema.ts'
import type { ResolvedOutboxOptions } from './outbox-options.ts'

export interface TopicOptions {
  /** What the payload must fit, in the Standard Schema form (zod, valibot, arktype). It describes the payload as sent. */
  readonly schema?: StandardSchemaV1
  /**
   * What happens to the later messages of a key while one of them keeps failing. `block` (the default): they wait, so
   * the order holds. `skip`: they go on, and the failing one is tried again beside them.
   */
  readonly onFailure?: 'block' | 'skip'
  /**
   * `publish` (the default): transactions that truly run at the same time have no order. `commit`: publishing takes a
   * lock per key until COMMIT, so that the messages of a key go out in the order of the commits.
   */
  readonly order?: 'publish' | 'commit'
  /** Attempts before a message becomes a dead letter. Default: the relay's `retry.attemptsMax`. */
  readonly attemptsMax?: number
}

export type Topics = Readonly<Record<string, TopicOptions>>

/** The payload that a topic takes: its schema's input, or anything that has a JSON form. */
export type PayloadOf<T extends Topics, Name extends string> = Name extends keyof T
  ? T[Name] extends { readonly schema: infer S extends StandardSchemaV1 }
    ? SchemaInput<S>
    : unknown
  : unknown

/** A declared topic (offered by the editor), or any other name. */
export type TopicName<T extends Topics> = (keyof T & string) | (string & {})

export interface OutboundMessage<Name extends string = string, Payload = unknown> {
  readonly topic: Name
  /** Messages of one key keep their order, across topics. Without a key a message has no order. */
  readonly key?: string | null
  readonly payload: Payload
  /** `traceparent` and `baggage` pass through like any other. */
  readonly headers?: Readonly<Record<string, string>>
  /** What consumers de-duplicate on. Default: a random UUID. */
  readonly id?: string
  /** Delivered this much later, on the store's clock, and outside the order of its key. Default 0. */
  readonly deliverAfterMs?: number
}

/** A message that passed every check, as it goes into the table. */
export interface OutboxRow {
  readonly partition: number
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  readonly headers: string | null
  readonly delayMs: number
  /** Set where the topic asks for the order of commits. */
  readonly lockId: bigint | undefined
}

const KNOWN = new Set(['topic', 'key', 'payload', 'headers', 'id', 'deliverAfterMs'])
const TEN_YEARS_MS = 315_576_000_000
const HEADERS_LIMIT_BYTES = 16_384

/**
 * Checks a message and encodes it. Nothing has been queued when this throws. Stays synchronous where the schema does.
 *
 * @throws PayloadError for a payload or headers that do not fit; ConfigError for anything else, all problems at once
 */
export function checkMessage(
  options: ResolvedOutboxOptions,
  message: OutboundMessage,
): OutboxRow | Promise<OutboxRow> {
  checkEnvelope(options, message)
  const schema = options.topics.get(message.topic)?.schema
  if (schema === undefined) return toRow(options, message)
  const checked = checkSchema(`payload of "${message.topic}"`, schema, message.payload)
  return checked instanceof Promise ? checked.then(() => toRow(options, message)) : toRow(options, message)
}

function checkEnvelope(options: ResolvedOutboxOptions, message: OutboundMessage): void {
  if (typeof message !== 'object' || message === null) {
    throw new ConfigError('outbox.publish', [`the message must be an object, got ${show(message)}`])
  }
  const { topic, key, id, deliverAfterMs } = message
  const problems: Check[] = []
  for (const name of Object.keys(message)) {
    if (!KNOWN.has(name)) problems.push(`unknown field "${name}" (known: ${[...KNOWN].join(', ')})`)
  }
  problems.push(isName('topic', topic))
  if (options.otherTopics === 'refuse' && isName('topic', topic) === true && !options.topics.has(topic)) {
    problems.push(
      `topic ${JSON.stringify(topic)} is not declared; add it to createOutbox, or pass otherTopics: 'allow'`,
    )
  }
  if (key !== undefined && key !== null) problems.push(isName('key', key))
  if (id !== undefined) problems.push(isName('id', id))
  if (deliverAfterMs !== undefined) problems.push(isDelay(deliverAfterMs))
  const found = problems.filter((p) => p !== true)
  if (found.length > 0) throw new ConfigError('outbox.publish', found)
}

/** Delays are kept in the table, not by a timer, so they may be long. */
function isDelay(value: number): Check {
  return (
    (typeof value === 'number' && value >= 0 && value <= TEN_YEARS_MS) ||
    `deliverAfterMs must be a number of milliseconds from 0 to ${TEN_YEARS_MS}, got ${show(value)}`
  )
}

/**
 * The payload is stored as it was given, not as the schema returned it: a schema may transform, and the consumer,
 * who checks with the same schema, must meet what its input describes.
 */
function toRow(options: ResolvedOutboxOptions, message: OutboundMessage): OutboxRow {
  const { topic, key = null, id = randomUUID(), payload, headers, deliverAfterMs = 0 } = message
  return {
    partition: partitionOf(key ?? id, options.partitions),
    id,
    topic,
    key,
    payload: encodeJson(`payload of "${topic}"`, payload, options.payloadLimitBytes),
    headers: headers === undefined ? null : encodeHeaders(topic, headers),
    delayMs: Math.ceil(deliverAfterMs),
    lockId:
      key !== null && options.topics.get(topic)?.order === 'commit' ? lockIdOf(options.name, key) : undefined,
  }
}

function encodeHeaders(topic: string, headers: Readonly<Record<string, string>>): string | null {
  const subject = `headers of "${topic}"`
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    throw new PayloadError(subject, [{ path: '$', message: 'must be an object of strings' }])
  }
  const entries = Object.entries(headers)
  if (entries.length === 0) return null
  const issues = entries
    .filter(([, value]) => typeof value !== 'string')
    .map(([name, value]) => ({
      path: `$[${JSON.stringify(name)}]`,
      message: `must be a string, got ${typeof value}`,
    }))
  if (issues.length > 0) throw new PayloadError(subject, issues)
  return encodeJson(subject, headers, HEADERS_LIMIT_BYTES)
}

/** 63 bits of a hash: two keys that meet in it wait for each other, which costs time and never order. */
function lockIdOf(name: string, key: string): bigint {
  const digest = createHash('sha256').update(`holdfast/outbox\0${name}\0${key}`).digest()
  return BigInt.asIntN(64, digest.readBigUInt64BE(0))
}
