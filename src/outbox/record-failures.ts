import { failpoint } from '../core/failpoint.ts'
import type { Store } from '../store/store.ts'
import { type NewDeadLetter, putDeadLetters } from './dead-letter.ts'
import {
  deleteMessages,
  insertPostponed,
  lockMessages,
  postponeMessages,
  type ReadyRow,
  toMessage,
} from './relay-statements.ts'

/** A message that the broker refused, and what is to become of it. */
export interface Failure {
  readonly row: ReadyRow
  readonly error: unknown
  /**
   * `wait`: it stays first of its key and is tried again. `aside`: others of its key go on, and it is tried again
   * beside them. `give-up`: it becomes a dead letter.
   */
  readonly fate: 'wait' | 'aside' | 'give-up'
  /** Until the next attempt; 0 for `give-up`. */
  readonly delayMs: number
}

/**
 * Counts one attempt each and carries out the fates, all in one transaction.
 *
 * A row that no longer stands as it was read (another relay holds the partition by now and has dealt with it) is left
 * alone. Gives the failures that were recorded.
 */
export async function recordFailures(
  store: Store,
  outbox: { readonly name: string; readonly source: string },
  failures: readonly Failure[],
): Promise<readonly Failure[]> {
  const { name } = outbox
  return store.transaction(async (tx) => {
    const found = await tx.query<{ sequence: unknown; attempts: number }>(
      lockMessages(
        store,
        name,
        failures.map((f) => f.row),
      ),
    )
    const attempts = new Map(found.map((row) => [String(row.sequence), Number(row.attempts)]))
    const standing = failures.filter(({ row }) => attempts.get(String(row.sequence)) === row.attempts)
    const waiting = standing.filter((f) => f.fate === 'wait')
    const aside = standing.filter((f) => f.fate === 'aside')
    const givenUp = standing.filter((f) => f.fate === 'give-up')
    if (waiting.length > 0) {
      const places = waiting.map(({ row, delayMs }) => ({
        partition: row.partition,
        sequence: row.sequence,
        delayMs: Math.ceil(delayMs),
      }))
      await tx.execute(postponeMessages(store, name, places))
    }
    const leaving = [...aside, ...givenUp].map((f) => f.row)
    if (leaving.length > 0) await tx.execute(deleteMessages(store, name, leaving))
    await failpoint('outbox.relay.failures.removed')
    if (aside.length > 0) {
      const rows = aside.map(({ row, delayMs }) => ({ row, delayMs: Math.ceil(delayMs) }))
      await tx.execute(insertPostponed(store, name, rows))
    }
    if (givenUp.length > 0) await putDeadLetters(tx, givenUp.map(toDeadLetter(outbox.source)))
    return standing
  })
}

function toDeadLetter(source: string): (failure: Failure) => NewDeadLetter {
  return ({ row, error }) => ({
    source,
    message: toMessage(row),
    attempts: row.attempts + 1,
    error,
    partition: row.partition,
  })
}
