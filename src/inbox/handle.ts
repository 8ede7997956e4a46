import type { Message } from '../broker/index.ts'
import { failpoint } from '../core/failpoint.ts'
import { recordEffect, recordEffects } from '../effects/index.ts'
import type { LeaseRef } from '../lease/index.ts'
import type { Transaction } from '../store/index.ts'
import { type InboxTopics, type ReceivedMessage, receive } from './received-message.ts'

/** What became of a message that was handed to `handle`. */
export type Handled<Result> =
  | { readonly kind: 'handled'; readonly result: Result }
  /** The group had handled it before; `work` did not run. */
  | { readonly kind: 'duplicate' }

export interface InboxRules {
  readonly topics: InboxTopics
  readonly payloadLimitBytes: number
}

/** The effect that stands for "this group is done with this message". Ids need to be unique within a topic only. */
export function effectOf(group: string, message: Pick<Message, 'id' | 'topic'>) {
  return { scope: `inbox/${group}`, id: message.id, phase: message.topic }
}

/** Under which lease, and whether the message is a dead letter that comes again: its effect row is there already. */
export interface HandleOptions {
  readonly group: string
  readonly lease?: LeaseRef | undefined
  readonly again?: boolean
}

/**
 * The effect row goes first: a second copy handled at the same time waits on its key until the first has ended, and a
 * process whose lease has passed on is refused before it does anything.
 */
export async function handleMessage<Tx extends Transaction, Result>(
  tx: Tx,
  message: Message,
  work: (message: ReceivedMessage) => Promise<Result>,
  rules: InboxRules,
  { group, lease, again = false }: HandleOptions,
): Promise<Handled<Result>> {
  await failpoint('inbox.handle.begun')
  if (!again) {
    const effect = effectOf(group, message)
    const { kind } = await recordEffect(tx, lease === undefined ? effect : { ...effect, lease })
    if (kind === 'repeated') return { kind: 'duplicate' }
  }
  await failpoint('inbox.handle.recorded')
  const received = await receive(message, rules.topics[message.topic], rules.payloadLimitBytes)
  const result = await work(received)
  await failpoint('inbox.handle.worked')
  return { kind: 'handled', result }
}

/** The same for several messages of one topic, with one statement for all effect rows. Gives the number that were new. */
export async function handleBatch(
  tx: Transaction,
  messages: readonly Message[],
  work: (messages: readonly ReceivedMessage[]) => Promise<void>,
  rules: InboxRules,
  { group, lease }: { readonly group: string; readonly lease: LeaseRef },
): Promise<number> {
  await failpoint('inbox.handle.begun')
  const fresh = await recordNew(tx, messages, group, lease)
  await failpoint('inbox.handle.recorded')
  const received = await Promise.all(
    fresh.map((message) => receive(message, rules.topics[message.topic], rules.payloadLimitBytes)),
  )
  if (received.length > 0) await work(received)
  await failpoint('inbox.handle.worked')
  return fresh.length
}

/** The messages not handled before, each once, in order; they are of one topic. */
async function recordNew(
  tx: Transaction,
  messages: readonly Message[],
  group: string,
  lease: LeaseRef,
): Promise<Message[]> {
  const byId = new Map<string, Message>()
  for (const message of messages) if (!byId.has(message.id)) byId.set(message.id, message)
  const { scope, phase } = effectOf(group, messages[0] as Message)
  const { first } = await recordEffects(tx, { scope, phase, ids: [...byId.keys()], lease })
  return [...byId.values()].filter((message) => first.has(message.id))
}
