import type { Message } from '../broker.ts'
import { parseEnvelope } from '../envelope.ts'
import { encodeName } from '../names.ts'
import type { NatsHeadersLike, NatsMessageLike } from './nats-client.ts'

/** One header holds our fields and the application's headers, because NATS allows neither any name nor any text. */
const HEADER = 'Holdfast-Message'

export function writeHeaders(
  headers: NatsHeadersLike,
  { id, key, headers: own, publishedAtMs }: Message,
): void {
  headers.set(HEADER, toAscii(JSON.stringify({ id, key, headers: own, publishedAtMs })))
}

/** Never throws: what this adapter did not write comes without an id, which the inbox makes a dead letter. */
export function fromNats(message: NatsMessageLike, topic: string): Message {
  const {
    id = '',
    key = null,
    headers = {},
    publishedAtMs = 0,
  } = parseEnvelope<Message>(message.headers?.get(HEADER))
  return { id, topic, key, payload: message.string(), headers, publishedAtMs }
}

/** What the server de-duplicates on, within its window. */
export function deduplicationId(message: Message): string {
  return encodeName(message.id, 200, '.:/')
}

function toAscii(json: string): string {
  return json.replace(/[\u007f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
