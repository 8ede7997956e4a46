import type { Message } from '../broker.ts'
import { parseEnvelope } from '../envelope.ts'
import type { RabbitEnvelope, RabbitMessageLike } from './rabbitmq-client.ts'

/** Our fields travel beside the application's headers, under names that cannot meet them. */
const KEY = 'holdfast-key'
const PUBLISHED_AT = 'holdfast-published-at-ms'
const HEADERS = 'holdfast-headers'

export interface RabbitAddress {
  readonly exchange: string
  readonly partition: number
  /** Tells returned messages apart. */
  readonly correlationId: string
}

export function toEnvelope(message: Message, to: RabbitAddress): RabbitEnvelope {
  return {
    exchange: to.exchange,
    routingKey: String(to.partition),
    mandatory: true,
    durable: true,
    // The property is a short string of at most 255 bytes; the id is also among the headers, whole.
    ...(Buffer.byteLength(message.id) <= 255 && { messageId: message.id }),
    correlationId: to.correlationId,
    contentType: 'application/json',
    // Without an encoding the driver would parse the text and hand out an object, in which 2^53 + 1 is 2^53.
    contentEncoding: 'utf-8',
    headers: {
      // Text, whatever the values look like: the driver would send a number as a double.
      [PUBLISHED_AT]: String(message.publishedAtMs),
      [HEADERS]: JSON.stringify({ id: message.id, headers: message.headers }),
      ...(message.key !== null && { [KEY]: message.key }),
    },
  }
}

/** Never throws: what this adapter did not write comes without an id, which the inbox makes a dead letter. */
export function fromDelivery(delivery: RabbitMessageLike, topic: string): Message {
  const { headers = {}, body } = delivery
  const own = parseEnvelope<{ id: string; headers: Record<string, string> }>(headers[HEADERS])
  return {
    id: own.id ?? '',
    topic,
    key: typeof headers[KEY] === 'string' ? headers[KEY] : null,
    payload: Buffer.isBuffer(body) ? body.toString() : typeof body === 'string' ? body : JSON.stringify(body),
    headers: own.headers ?? {},
    publishedAtMs: Number(headers[PUBLISHED_AT] ?? 0),
  }
}
