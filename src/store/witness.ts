import { throwIfAborted } from '../core/abort.ts'
import { ConfigError, isHoldfastError } from '../core/errors.ts'
import { type Check, checkArguments, checkOptions, isAge, isObject, show } from '../core/options.ts'
import { isStore } from './arguments.ts'
import { type CommitUnknownError, StoreUnavailableError, WitnessExpiredError } from './errors.ts'
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
  windowMs: number,
): Promise<'applied' | 'not-applied'> {
  checkArguments('resolve', isUnknownCommit(error))
  if (!error.witnessed) {
    throw new ConfigError('resolve', ['the transaction wrote no witness row; run it with { witness: true }'])
  }
  // Half of the window, since clocks of processes differ.
  if (store.clock.now() - error.atMs > windowMs / 2) throw new WitnessExpiredError(error.transactionId)
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

function isUnknownCommit(error: unknown): Check {
  return (
    (isHoldfastError(error) && error.code === 'COMMIT_UNKNOWN') ||
    `the error must be the CommitUnknownError that the transaction was rejected with, got ${show(error)}`
  )
}

export interface PruneWitnessesOptions {
  readonly olderThanMs: number
  readonly signal?: AbortSignal
}

/**
 * Removes witnesses older than `olderThanMs`, on this process's clock, and gives their number. A store that writes
 * witnesses does this by itself, with its `witnessWindowMs`; this is for processes that end too soon for that.
 *
 * `resolve` of a transaction whose witness is gone would answer `not-applied`, so leave no less than twice the time that
 * anyone takes to ask. Bounds: transactions of 1 000 rows each.
 */
export async function pruneWitnesses(store: Store, options: PruneWitnessesOptions): Promise<number> {
  checkArguments('pruneWitnesses', isStore(store), isObject('options', options))
  const { olderThanMs, signal } = options
  const names = ['olderThanMs', 'signal']
  checkOptions('pruneWitnesses', options, names, [isAge('olderThanMs', olderThanMs)])
  const before = Math.floor(store.clock.now() - olderThanMs)
  for (let removed = 0; ; ) {
    throwIfAborted(signal)
    const some = await pruneSome(store, before, signal)
    removed += some
    if (some < PRUNE_ROWS) return removed
  }
}

const PRUNE_ROWS = 1_000

/** Processes that prune at the same time lock the rows in one order, and find what another one left. */
function pruneSome(store: Store, beforeMs: number, signal: AbortSignal | undefined): Promise<number> {
  const table = store.table('witness')
  const old = sql`select id from ${table} where decided_at_ms < ${beforeMs} order by decided_at_ms, id limit ${PRUNE_ROWS}`
  const lock = store.dialect.skipLocked ? store.dialect.forUpdate({ skipLocked: true }) : sql``
  return store.transaction((tx) => tx.execute(sql`delete from ${table} where id in (${old}${lock})`), {
    isolation: 'read-committed',
    ...(signal && { signal }),
  })
}
