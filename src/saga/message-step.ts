import { createHash } from 'node:crypto'
import type { Message } from '../broker/index.ts'
import { ConfigError } from '../core/errors.ts'
import { checkArguments, checkOptions, hasMethods, isName, isObject } from '../core/options.ts'
import type { OutboundMessage, Outbox } from '../outbox/index.ts'
import { isTransaction } from '../store/arguments.ts'
import type { Transaction } from '../store/transaction.ts'
import type { Phase } from './attempt.ts'
import type { MessageCall } from './context.ts'
import type { SagaRun } from './run.ts'
import { insertSignal } from './signals.ts'
import { encodeValue } from './value.ts'

/** The headers of a saga's message, and of the reply to it. */
export const MESSAGE_HEADERS = {
  saga: 'holdfast-saga',
  step: 'holdfast-step',
  phase: 'holdfast-phase',
  epoch: 'holdfast-epoch',
} as const

/** The message of a step, in one of its phases. */
export function stepMessage(
  run: SagaRun,
  step: string,
  phase: Phase,
  { topic, key, payload }: Pick<MessageCall<unknown>, 'topic' | 'key' | 'payload'>,
): OutboundMessage {
  return {
    topic,
    key: key ?? shortened(run.id),
    payload,
    id: shortened(`${run.id}/${step}:${phase}`),
    headers: {
      [MESSAGE_HEADERS.saga]: run.id,
      [MESSAGE_HEADERS.step]: step,
      [MESSAGE_HEADERS.phase]: phase,
      [MESSAGE_HEADERS.epoch]: `${run.env.guard.epoch}`,
    },
  }
}

const NAME_MAX = 200

/** A name that brokers take. What would be too long keeps its beginning, and a hash tells it from others. */
function shortened(name: string): string {
  if (name.length <= NAME_MAX) return name
  const hash = createHash('sha256').update(name).digest('base64url')
  return `${name.slice(0, NAME_MAX - hash.length - 1).toWellFormed()}~${hash}`
}

/**
 * Publishes the reply to a saga's message, in the transaction that did what it asked for. `message` is the one received;
 * one that does not come from a saga is a ConfigError.
 */
export async function replyToSaga(
  tx: Transaction,
  outbox: Outbox,
  message: Pick<Message, 'headers'>,
  reply: { readonly topic: string; readonly payload: unknown },
): Promise<void> {
  checkArguments(
    'replyToSaga',
    isTransaction(tx),
    hasMethods('outbox', outbox, 'what createOutbox gives', 'publish'),
    isObject('message', message),
    isObject('reply', reply),
  )
  checkOptions(
    'replyToSaga',
    reply,
    ['topic', 'payload'],
    [isObject('message.headers', message.headers), isName('topic', reply.topic)],
  )
  const saga = message.headers[MESSAGE_HEADERS.saga]
  const step = message.headers[MESSAGE_HEADERS.step]
  if (saga === undefined || step === undefined)
    throw new ConfigError('replyToSaga', ['the message has no saga'])
  await outbox.publish(tx, {
    topic: reply.topic,
    key: shortened(saga),
    payload: reply.payload,
    headers: { [MESSAGE_HEADERS.saga]: saga, [MESSAGE_HEADERS.step]: step },
  })
}

/**
 * Hands a reply to its saga, in the consumer's transaction. False when the saga has ended or is not known here; a reply
 * that comes twice counts once.
 */
export async function deliverReply(
  tx: Transaction,
  message: Pick<Message, 'headers' | 'id'> & { readonly payload: unknown },
): Promise<boolean> {
  checkArguments('deliverReply', isTransaction(tx), isObject('message', message))
  checkArguments(
    'deliverReply',
    isObject('message.headers', message.headers),
    isName('message.id', message.id, 1_000),
  )
  const saga = message.headers[MESSAGE_HEADERS.saga]
  const step = message.headers[MESSAGE_HEADERS.step]
  if (saga === undefined || step === undefined)
    throw new ConfigError('deliverReply', ['the message has no saga'])
  return insertSignal(tx, {
    sagaId: saga,
    name: `reply:${step}`,
    id: message.id,
    payload: encodeValue('a reply', message.payload),
  })
}
