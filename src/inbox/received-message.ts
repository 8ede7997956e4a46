import { createHash } from 'node:crypto'
import type { Message } from '../broker/index.ts'
import { isHoldfastError } from '../core/errors.ts'
import { isName } from '../core/options.ts'
import { checkSchema, type SchemaOutput, type StandardSchemaV1 } from '../core/standard-schema.ts'
import { MessageInvalidError } from './errors.ts'

/** A message as handlers see it: the payload parsed and, where the topic has a schema, checked and shaped by it. */
export interface ReceivedMessage<Payload = unknown> extends Omit<Message, 'payload'> {
  readonly payload: Payload
}

export interface InboxTopic {
  /** What arrives must fit; zod, valibot and arktype schemas have this form. What does not fit becomes a dead letter. */
  readonly schema?: StandardSchemaV1
  /**
   * What happens to the later messages of a key while one keeps failing. `block` (the default): they wait, so order
   * holds, until it succeeds or becomes a dead letter. `skip`: the failing one is set aside and retried beside them.
   */
  readonly onPoison?: 'block' | 'skip'
}

export type InboxTopics = Readonly<Record<string, InboxTopic>>

/** The payload's type on topic `Name`: the output of its schema, or unknown. */
export type PayloadOf<Topics extends InboxTopics, Name extends string> = Name extends keyof Topics
  ? Topics[Name] extends { readonly schema: infer Schema }
    ? SchemaOutput<Schema>
    : unknown
  : unknown

/**
 * Parses and checks what arrived.
 * @throws MessageInvalidError with the path of each field that does not fit; values are not repeated
 */
export async function receive(
  message: Message,
  topic: InboxTopic | undefined,
  limitBytes: number,
): Promise<ReceivedMessage> {
  const parsed = parse(message, limitBytes)
  if (topic?.schema === undefined) return { ...message, payload: parsed }
  try {
    return { ...message, payload: await checkSchema(`message of ${message.topic}`, topic.schema, parsed) }
  } catch (error) {
    if (!isHoldfastError(error)) throw error
    throw new MessageInvalidError(error.message, { cause: error })
  }
}

function parse({ topic, payload }: Message, limitBytes: number): unknown {
  if (typeof payload !== 'string') {
    throw new MessageInvalidError(`message of ${topic}: the payload must be JSON text, got ${typeof payload}`)
  }
  const bytes = Buffer.byteLength(payload)
  if (bytes > limitBytes) {
    throw new MessageInvalidError(`message of ${topic}: ${bytes} bytes of JSON, the limit is ${limitBytes}`)
  }
  try {
    return JSON.parse(payload)
  } catch {
    // The parser's own text repeats pieces of the payload.
    throw new MessageInvalidError(`message of ${topic}: not valid JSON`)
  }
}

/**
 * A message that a store can hold. A producer that is not ours may send what no text column takes (NUL, unpaired
 * surrogates, no id or one of a megabyte); `message` is then one that can be stored as a dead letter, and `fault` says
 * why. An id that cannot be kept is replaced by one made of the whole message: two without an id are two messages.
 */
export function storable(message: Message): {
  readonly message: Message
  readonly fault: string | undefined
} {
  const idCheck = isName('id', message.id)
  const keyCheck = message.key === null || isName('key', message.key)
  const headers = JSON.stringify(message.headers ?? {})
  const fault =
    idCheck !== true
      ? idCheck
      : keyCheck !== true
        ? keyCheck
        : !isText(message.payload) || !isText(headers) || headers.includes('\\u0000')
          ? 'the payload or a header contains a NUL or an unpaired surrogate'
          : Number.isFinite(message.publishedAtMs)
            ? undefined
            : 'publishedAtMs is not a number'
  if (fault === undefined) return { message, fault }
  return {
    fault,
    message: {
      ...message,
      id:
        idCheck === true
          ? message.id
          : `invalid-${createHash('sha256').update(JSON.stringify(message)).digest('hex')}`,
      key: keyCheck === true ? message.key : null,
      payload: repaired(String(message.payload)),
      publishedAtMs: Number.isFinite(message.publishedAtMs) ? message.publishedAtMs : 0,
      headers: Object.fromEntries(
        Object.entries(message.headers ?? {}).map(([name, value]) => [
          repaired(name),
          repaired(String(value)),
        ]),
      ),
    },
  }
}

function isText(text: unknown): boolean {
  return typeof text === 'string' && !text.includes('\0') && text.isWellFormed()
}

function repaired(text: string): string {
  return text.replaceAll('\0', '\uFFFD').toWellFormed()
}
