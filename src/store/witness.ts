import { ConfigError } from '../core/errors.ts'
import { checkOptions, isAge } from '../core/options.ts'
import { type CommitUnknownError, StoreUnavailableError } from './errors.ts'
import { sql } from './sql.ts'
import type { Store } from './store.ts'
import type { Flush } from './transaction.ts'

const COLUMNS = [
  { name: 'id', type: 'text' },
  { name: 'decision', type: 'text' },
  { name: 'decided_at_ms', type: 'bigint' },
] as const

/**
 * The witness is the last row of the transaction. Commit and "it never will" compete for its primary key, so asking
 * afterwards decides as well as reports: there is no moment in which the answer can still change.
 */
export const writeWitness: Flush<string> = async (tx, transactionIds) =>
  tx.store.dialect.insertRows(
    tx.store.table('witness'),
    COLUMNS,
    transactionIds.map((id) => [id, 'applied', tx.store.clock.now()]),
  )

/**
 * Inserts the opposite decision under the same key. While the lost transaction is still open at the server, the insert
 * waits for it (unique key); if ours is stored, the lost one can only fail on that key.
 */
export async function resolveWitness(
  store: Store,
  error: CommitUnknownError,
): Promise<'applied' | 'not-applied'> {
  if (!error.witnessed) {
    throw new ConfigError('resolve', ['the transaction wrote no witness row; run it with { witness: true }'])
  }
  return store.transaction(async (tx) => {
    const inserted = await tx.execute(
      store.dialect.insertRows(
        store.table('witness'),
        COLUMNS,
        [[error.transactionId, 'not-applied', store.clock.now()]],
        { onConflict: 'ignore' },
      ),
    )
    if (inserted === 1) return 'not-applied'
    const [row] = await tx.query<{ decision: 'applied' | 'not-applied' }>(
      sql`select decision from ${store.table('witness')} where id = ${error.transactionId}`,
    )
    if (row === undefined)
      throw new StoreUnavailableError('the witness row was removed while it was read', 'unknown')
    return row.decision
  })
}

/**
 * Removes witnesses older than `olderThanMs`, on this process's clock, and gives their number. `resolve` of a
 * transaction whose witness is gone would answer `not-applied`, so leave far more time than anyone takes to ask.
 * Nothing removes witnesses by itself.
 */
export async function pruneWitnesses(
  store: Store,
  { olderThanMs }: { olderThanMs: number },
): Promise<number> {
  checkOptions('pruneWitnesses', { olderThanMs }, ['olderThanMs'], [isAge('olderThanMs', olderThanMs)])
  return store.execute(
    sql`delete from ${store.table('witness')} where decided_at_ms < ${Math.floor(store.clock.now() - olderThanMs)}`,
  )
}
