import { throwIfAborted } from '../core/abort.ts'
import { checkArguments, checkOptions, isAge, isCount, isName, isObject } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'

export interface PruneOptions {
  readonly scope: string
  /** Effects recorded longer ago than this, by the store's clock, are forgotten: a repetition would then run again. */
  readonly olderThanMs: number
  /** Rows in one transaction. Default 1 000. */
  readonly limit?: number
  /** Transactions in one call. Default 1 000. */
  readonly batchesMax?: number
  readonly signal?: AbortSignal
}

/** Forgets old effects, in bounded batches, each a transaction of its own. Gives the number of rows removed. */
export async function pruneEffects(store: Store, options: PruneOptions): Promise<number> {
  checkArguments('pruneEffects', isStore(store), isObject('options', options))
  const { limit = 1_000, batchesMax = 1_000, signal } = options
  checkOptions(
    'pruneEffects',
    options,
    ['scope', 'olderThanMs', 'limit', 'batchesMax', 'signal'],
    [
      isName('scope', options.scope),
      isAge('olderThanMs', options.olderThanMs),
      isCount('limit', limit, 1, 10_000),
      isCount('batchesMax', batchesMax, 1, 1_000_000),
    ],
  )
  let removed = 0
  for (let batch = 1; batch <= batchesMax; batch++) {
    throwIfAborted(signal)
    const { seen, deleted } = await store.transaction((tx) => pruneBatch(tx, options, limit), {
      isolation: 'read-committed',
      ...(signal && { signal }),
    })
    removed += deleted
    if (seen < limit) break
  }
  return removed
}

/** Finds and deletes in two statements: a LIMIT inside the DELETE's subquery is not to be had everywhere. */
async function pruneBatch(
  tx: Transaction,
  { scope, olderThanMs }: PruneOptions,
  limit: number,
): Promise<{ seen: number; deleted: number }> {
  const { dialect } = tx.store
  const table = tx.store.table('effect')
  const old = sql`scope = ${scope} and recorded_at_ms < ${dialect.nowMs} - ${Math.floor(olderThanMs)}`
  const rows = await tx.query<{ id: string }>(sql`select id from ${table} where ${old} limit ${limit}`)
  if (rows.length === 0) return { seen: 0, deleted: 0 }
  const ids = [...new Set(rows.map((row) => row.id))].sort()
  const deleted = await tx.execute(
    sql`delete from ${table} where ${old} and ${dialect.isOneOf(sql.ident('id'), 'text', ids)}`,
  )
  return { seen: rows.length, deleted }
}
