import { UnsupportedError } from '../core/errors.ts'

/** `rollback to` and savepoints stay within the transaction; `commit prepared` ends another one. */
const CONTROL =
  /^\s*(begin|start\s+transaction|prepare\s+transaction|(?:commit|end|abort|rollback)(?!(?:\s+(?:work|transaction))?\s+to\b|\s+prepared\b))\b/i

/**
 * Refuses a statement that would begin or end a transaction behind the back of the one it runs in: after a ROLLBACK the
 * database takes every COMMIT, and the transaction would be reported as applied.
 *
 * A plain check of the text's first words; a comment before them passes.
 * @throws UnsupportedError
 */
export function refuseTransactionControl(text: string): void {
  const [, words] = CONTROL.exec(text) ?? []
  if (words === undefined) return
  throw new UnsupportedError(
    `${words.toUpperCase().replaceAll(/\s+/g, ' ')} is not for statements of your own: store.transaction begins and commits, a throw in its function rolls back, and tx.transaction is a savepoint`,
  )
}
