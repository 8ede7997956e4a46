import { checkArguments, checkOptions, isDuration, isObject } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { type Sql, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { leaseChecks } from './acquire.ts'
import { type GrantedRow, type Lease, toLease } from './lease.ts'

export interface RenewOptions {
  readonly scope: string
  readonly owner: string
  readonly ttlMs: number
  /** Default: a third of `ttlMs`, so that a second try can still be in time. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/**
 * Renews every lease of this owner in the scope, with one statement, and gives those that now run.
 *
 * Guarantee: a lease that has ended, by the store's clock, is not revived, even if nobody took it: what is missing from
 * the answer is lost. Renewing passes the locks of transactions in flight under these leases.
 */
export async function renewLeases(store: Store, options: RenewOptions): Promise<Lease[]> {
  checkArguments('renewLeases', isStore(store), isObject('options', options))
  checkArguments('renewLeases', isDuration('ttlMs', options.ttlMs))
  const { scope, owner, timeoutMs = options.ttlMs / 3, signal } = options
  checkOptions(
    'renewLeases',
    options,
    ['scope', 'owner', 'ttlMs', 'timeoutMs', 'signal'],
    [...leaseChecks(options), isDuration('timeoutMs', timeoutMs)],
  )
  const ttlMs = Math.floor(options.ttlMs)
  return store.transaction(
    async (tx) => {
      const sentAtMs = store.clock.monotonic()
      await renewOwned(tx, { scopes: [scope], owner, ttlMs })
      const askedAtMs = store.clock.monotonic()
      const rows = await readLeases(tx, sql`scope = ${scope} and owner = ${owner}`)
      return rows
        .filter((row) => Number(row.left_ms) > 0)
        .map((row) => toLease(row, { ttlMs, sentAtMs, askedAtMs }))
    },
    { isolation: 'read-committed', timeoutMs, urgent: true, ...(signal && { signal }) },
  )
}

/** Renews all that `owner` still holds in the scopes. */
export function renewOwned(
  tx: Transaction,
  { scopes, owner, ttlMs }: { scopes: readonly string[]; owner: string; ttlMs: number },
): Promise<number> {
  const { store } = tx
  const { nowMs } = store.dialect
  return tx.execute(
    sql`update ${store.table('lease')} set until_ms = ${nowMs} + ${ttlMs}
      where ${store.dialect.isOneOf(sql.ident('scope'), 'text', scopes)} and owner = ${owner} and until_ms > ${nowMs}`,
  )
}

/** The leases that match, ended ones included (`left_ms` is then 0 or less), ascending by scope and name. */
export function readLeases(tx: Transaction, where: Sql, limit = 10_000): Promise<GrantedRow[]> {
  const { store } = tx
  return tx.query<GrantedRow>(
    sql`select scope, name, owner, epoch, until_ms - ${store.dialect.nowMs} as left_ms from ${store.table('lease')}
      where ${where} order by scope, name limit ${limit}`,
  )
}
