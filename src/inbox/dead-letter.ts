import { type Message, partitionOf } from '../broker/index.ts'
import { recordEffect } from '../effects/index.ts'
import type { LeaseRef } from '../lease/index.ts'
import { describeError, putDeadLetter } from '../outbox/index.ts'
import { type Store, sql, type Transaction } from '../store/index.ts'
import { effectOf } from './handle.ts'

/** Whose dead letters are this group's. */
function sourceOf(group: string): string {
  return `inbox/${group}`
}

/** The partition that a broker with `partitions` of them keeps the message in, as far as the key tells. */
export function homeOf(message: Pick<Message, 'id' | 'key'>, partitions: number): number {
  return partitionOf(message.key ?? message.id, partitions)
}

/**
 * Stores the message as a dead letter, with its effect row, so that a copy which arrives later is a duplicate. False
 * when the message had been settled before.
 */
export async function buryMessage(
  tx: Transaction,
  message: Message,
  {
    group,
    lease,
    partitions,
    attempts,
    error,
  }: {
    readonly group: string
    readonly lease: LeaseRef
    readonly partitions: number
    readonly attempts: number
    readonly error: unknown
  },
): Promise<boolean> {
  const { kind } = await recordEffect(tx, { ...effectOf(group, message), lease })
  if (kind === 'repeated') return false
  await putDeadLetter(tx, {
    source: sourceOf(group),
    message,
    attempts,
    error,
    partition: homeOf(message, partitions),
  })
  return true
}

/** A dead letter that someone asked to handle again. */
export interface RequestedLetter {
  readonly id: string
  readonly message: Message
  /** Attempts before this one. */
  readonly attempts: number
}

/** Up to `limit` dead letters of the group and these topics that someone asked to retry, oldest first. */
export async function findRequested(
  tx: Transaction,
  {
    group,
    topics,
    limit,
  }: { readonly group: string; readonly topics: readonly string[]; readonly limit: number },
): Promise<RequestedLetter[]> {
  const rows = await tx.query<{
    id: string
    attempts: number
    message_id: string
    topic: string
    key: string | null
    payload: string
    headers: string | null
    published_at_ms: string | number | null
  }>(
    sql`select id, attempts, message_id, topic, key, payload, headers, published_at_ms from ${tx.store.table('dead_letter')}
      where source = ${sourceOf(group)} and retry_requested = 1
        and ${tx.store.dialect.isOneOf(sql.ident('topic'), 'text', topics)}
      order by failed_at_ms limit ${limit}`,
  )
  return rows.map((row) => ({
    id: row.id,
    attempts: Number(row.attempts),
    message: {
      id: row.message_id,
      topic: row.topic,
      key: row.key,
      payload: row.payload,
      headers: row.headers === null ? {} : (JSON.parse(row.headers) as Record<string, string>),
      publishedAtMs: Number(row.published_at_ms ?? 0),
    },
  }))
}

/**
 * Uses the request up, before the handler starts: a message that kills its process does so once per request. False
 * when the request is gone.
 */
export async function takeRequest(store: Store, id: string, signal: AbortSignal): Promise<boolean> {
  const changed = await store.transaction(
    (tx) =>
      tx.execute(
        sql`update ${store.table('dead_letter')} set retry_requested = 0, attempts = attempts + 1
          where id = ${id} and retry_requested = 1`,
      ),
    { signal },
  )
  return changed === 1
}

/** In the transaction that handles the message: its row is what an effect row is to other messages. */
export async function removeLetter(tx: Transaction, id: string): Promise<boolean> {
  return (await tx.execute(sql`delete from ${tx.store.table('dead_letter')} where id = ${id}`)) === 1
}

/** The retry failed: the letter stays, with the new reason, until someone asks again. */
export async function keepLetter(tx: Transaction, id: string, error: unknown): Promise<void> {
  const { reason, errorCode, stack } = describeError(error)
  await tx.execute(
    sql`update ${tx.store.table('dead_letter')} set reason = ${reason}, error_code = ${errorCode}, stack = ${stack},
      failed_at_ms = ${tx.store.dialect.nowMs} where id = ${id}`,
  )
}

/** The retry could not be made; the request stands again, if it had been taken. */
export async function askAgain(tx: Transaction, id: string): Promise<void> {
  await tx.execute(
    sql`update ${tx.store.table('dead_letter')} set retry_requested = 1, attempts = attempts - 1
      where id = ${id} and retry_requested = 0`,
  )
}
