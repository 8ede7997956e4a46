import {
  type Check,
  checkArguments,
  checkOptions,
  isDuration,
  isName,
  isObject,
  show,
} from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import type { LeaseRef } from './lease.ts'

type Released = LeaseRef & { readonly owner: string }

function isReleased(lease: unknown): Check {
  const { scope, name, owner, epoch } = (lease ?? {}) as Partial<Released>
  const named = [scope, name, owner].every((part) => typeof part === 'string')
  return (named && typeof epoch === 'bigint') || `lease must be what acquireLease gave, got ${show(lease)}`
}

/**
 * Ends the lease now, so that another can take it at once. True when it was still this owner's under this epoch.
 *
 * The row stays, with its epoch. Transactions that are open under the lease may still commit; the next holder waits
 * for them.
 */
export async function releaseLease(
  store: Store,
  lease: Released,
  options: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<boolean> {
  checkArguments('releaseLease', isStore(store), isReleased(lease), isObject('options', options))
  checkOptions(
    'releaseLease',
    options,
    ['timeoutMs', 'signal'],
    [options.timeoutMs === undefined || isDuration('timeoutMs', options.timeoutMs)],
  )
  const changed = await store.transaction(
    (tx) =>
      tx.execute(
        // 0 and not the time of day: a store's clock that is set back must not make a released lease run again.
        sql`update ${store.table('lease')} set until_ms = 0
          where scope = ${lease.scope} and name = ${lease.name} and owner = ${lease.owner} and epoch = ${lease.epoch}`,
      ),
    { isolation: 'read-committed', urgent: true, ...options },
  )
  return changed === 1
}

/** Ends everything that `owner` holds in the scopes, with one statement. */
export function releaseOwned(
  tx: Transaction,
  { scopes, owner }: { scopes: readonly string[]; owner: string },
): Promise<number> {
  const { store } = tx
  return tx.execute(
    sql`update ${store.table('lease')} set until_ms = 0
      where ${store.dialect.isOneOf(sql.ident('scope'), 'text', scopes)} and owner = ${owner} and until_ms > 0`,
  )
}

export interface HandOverOptions {
  /** The owner that is to hold the lease next. */
  readonly to: string
  /** How long the lease is kept for that owner. Default 2 000. */
  readonly graceMs?: number
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/**
 * Gives the lease to another owner, under the next epoch. True when it was still this owner's under this epoch.
 *
 * The next owner holds it from now on and for `graceMs`, whether it knows or not; it picks it up with `acquireLease`,
 * which renews it. If it never comes, anyone may take the lease after `graceMs`. Waits for transactions that are open
 * under the lease, as a take-over does.
 */
export async function handOver(store: Store, lease: Released, options: HandOverOptions): Promise<boolean> {
  checkArguments('handOver', isStore(store), isReleased(lease), isObject('options', options))
  const { to, graceMs = 2_000, timeoutMs = 30_000, signal } = options
  checkOptions(
    'handOver',
    options,
    ['to', 'graceMs', 'timeoutMs', 'signal'],
    [isName('to', to), isDuration('graceMs', graceMs), isDuration('timeoutMs', timeoutMs)],
  )
  return store.transaction(
    async (tx) => {
      const { nowMs } = store.dialect
      // FOR UPDATE first, for the reason given in acquire.ts: this is a take-over, only by somebody else's hand.
      const [row] = await tx.query(
        sql`select epoch from ${store.table('lease')}
          where scope = ${lease.scope} and name = ${lease.name} and owner = ${lease.owner} and epoch = ${lease.epoch}
            and until_ms > ${nowMs}${store.dialect.forUpdate()}`,
      )
      if (row === undefined) return false
      await tx.execute(
        sql`update ${store.table('lease')} set epoch = epoch + 1, owner = ${to}, until_ms = ${nowMs} + ${Math.floor(graceMs)}
          where scope = ${lease.scope} and name = ${lease.name}`,
      )
      return true
    },
    { isolation: 'read-committed', timeoutMs, urgent: true, ...(signal && { signal }) },
  )
}
