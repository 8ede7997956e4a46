import { randomUUID } from 'node:crypto'
import type { Message } from '../broker/broker.ts'
import { isHoldfastError } from '../core/errors.ts'
import { checkArguments, isCount, isName, isObject, isText, show } from '../core/options.ts'
import { isTransaction } from '../store/arguments.ts'
import type { InsertColumn } from '../store/dialect.ts'
import type { Transaction } from '../store/transaction.ts'

/** A message that was given up, with what is known about why. */
export interface NewDeadLetter {
  /** Whose it is: `outbox/<name>`, `inbox/<group>`. */
  readonly source: string
  readonly message: Pick<Message, 'id' | 'topic' | 'key' | 'payload' | 'headers'> & {
    readonly publishedAtMs: number | null
  }
  readonly attempts: number
  readonly error: unknown
  /** The partition of the outbox that it goes back to when it is retried; null for the inbox. */
  readonly partition?: number | null
}

const COLUMNS: readonly InsertColumn[] = [
  { name: 'id', type: 'text' },
  { name: 'source', type: 'text' },
  { name: 'partition', type: 'integer' },
  { name: 'attempts', type: 'integer' },
  { name: 'published_at_ms', type: 'bigint' },
  { name: 'message_id', type: 'text' },
  { name: 'topic', type: 'text' },
  { name: 'key', type: 'text' },
  { name: 'payload', type: 'text' },
  { name: 'headers', type: 'text' },
  { name: 'reason', type: 'text' },
  { name: 'error_code', type: 'text' },
  { name: 'stack', type: 'text' },
]

/** Records one dead letter in `tx`, so that it stands or falls with what else the transaction does. Gives its id. */
export async function putDeadLetter(tx: Transaction, letter: NewDeadLetter): Promise<string> {
  checkArguments(
    'putDeadLetter',
    isTransaction(tx),
    isObject('letter', letter),
    isObject('letter.message', letter?.message),
  )
  checkArguments(
    'putDeadLetter',
    isName('source', letter.source, 300),
    isCount('attempts', letter.attempts, 0, 2 ** 31 - 1),
    isObject('letter.message.headers', letter.message.headers),
    isText('letter.message.payload', letter.message.payload),
  )
  const [id] = await putDeadLetters(tx, [letter])
  return id as string
}

/** Records dead letters by one statement. */
export async function putDeadLetters(tx: Transaction, letters: readonly NewDeadLetter[]): Promise<string[]> {
  const { store } = tx
  const rows = letters.map(({ source, message, attempts, error, partition = null }) => {
    const { reason, errorCode, stack } = describeError(error)
    return [
      randomUUID(),
      source,
      partition,
      attempts,
      message.publishedAtMs === null ? null : Math.trunc(message.publishedAtMs),
      message.id,
      message.topic,
      message.key,
      message.payload,
      Object.keys(message.headers).length === 0 ? null : JSON.stringify(message.headers),
      reason,
      errorCode,
      stack,
    ]
  })
  if (rows.length > 0) await tx.execute(store.dialect.insertRows(store.table('dead_letter'), COLUMNS, rows))
  return rows.map(([id]) => id as string)
}

const REASON_MAX = 1_000
const STACK_MAX = 8_000
const CAUSES_MAX = 5

/** Text about an error that any database can keep: bounded, without NUL and unpaired surrogates. */
export function describeError(error: unknown): {
  reason: string
  errorCode: string | null
  stack: string | null
} {
  if (!(error instanceof Error))
    return { reason: storable(textOf(error), REASON_MAX), errorCode: null, stack: null }
  const code = isHoldfastError(error) ? error.code : (error as { code?: unknown }).code
  const stacks: string[] = []
  for (let e: unknown = error, i = 0; e instanceof Error && i < CAUSES_MAX; e = e.cause, i++) {
    stacks.push(e.stack ?? `${e.name}: ${e.message}`)
  }
  return {
    reason: storable(`${error.name}: ${error.message}`, REASON_MAX),
    errorCode: typeof code === 'string' || typeof code === 'number' ? storable(String(code), 100) : null,
    stack: storable(stacks.join('\ncaused by '), STACK_MAX),
  }
}

function storable(text: string, lengthMax: number): string {
  return text.slice(0, lengthMax).replaceAll('\0', '\u2400').toWellFormed()
}

/** What is thrown may be anything, and an object without a prototype has no text. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return show(thrown)
  }
}
