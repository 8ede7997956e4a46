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
import { type Sql, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { type GrantedRow, type Lease, toLease } from './lease.ts'

export interface AcquireOptions {
  readonly scope: string
  readonly name: string
  /** Unique per process start; see `uniqueOwner`. */
  readonly owner: string
  readonly ttlMs: number
  /** Bound of the call, waiting for the former holder's open transactions included. Default: `ttlMs`. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/**
 * Acquires the lease, or gives `undefined` while another owner's lease runs.
 *
 * Guarantee: at most one owner holds a running lease, judged by the store's clock, never by this process's. Taking over
 * an ended or released lease, also one's own, raises the epoch. An owner whose lease still runs gets it renewed with
 * the epoch it has, so an acquire whose answer was lost can simply be repeated.
 * Bounds: on PostgreSQL a take-over waits for transactions that recorded effects under the old epoch, for at most
 * `timeoutMs`.
 * @throws TransactionTimeoutError when such a transaction stayed open; CommitUnknownError: the lease may stand
 */
export async function acquireLease(store: Store, options: AcquireOptions): Promise<Lease | undefined> {
  checkArguments('acquireLease', isStore(store), isObject('options', options))
  const { name, timeoutMs = options.ttlMs, ...rest } = options
  checkOptions('acquireLease', options, OPTION_NAMES, [
    ...leaseChecks(options),
    isName('name', name),
    isDuration('timeoutMs', timeoutMs),
  ])
  const [lease] = await acquireAll(store, { ...rest, names: [name], timeoutMs, skipLocked: false })
  return lease
}

const OPTION_NAMES = ['scope', 'name', 'owner', 'ttlMs', 'timeoutMs', 'signal']

export function leaseChecks(given: { scope: string; owner: string; ttlMs: number }): Check[] {
  return [
    isName('scope', given.scope),
    isName('owner', given.owner),
    // Below this, the rounding of the store's clock is no longer small beside the lease.
    (isDuration('ttlMs', given.ttlMs) === true && given.ttlMs >= 50) ||
      `ttlMs must be from 50 to 2147483647 milliseconds, got ${show(given.ttlMs)}`,
  ]
}

export interface AcquireAllOptions {
  readonly scope: string
  readonly names: readonly string[]
  readonly owner: string
  readonly ttlMs: number
  readonly timeoutMs: number
  /** Leaves a lease alone whose former holder still has a transaction open, instead of waiting for that. */
  readonly skipLocked: boolean
  readonly signal?: AbortSignal | undefined
}

/** Acquires those of `names` that are free, in one transaction. Options are taken as they are. */
export async function acquireAll(store: Store, options: AcquireAllOptions): Promise<Lease[]> {
  const { scope, owner, timeoutMs, skipLocked, signal } = options
  const ttlMs = Math.floor(options.ttlMs)
  // One order everywhere, so that two that acquire the same names cannot wait for each other in a circle.
  const names = [...options.names].sort()
  return store.transaction(
    async (tx) => {
      const sentAtMs = store.clock.monotonic()
      const renewed = await renewOwn(tx, { scope, names, owner, ttlMs })
      if (renewed < names.length) {
        const ended = await lockEnded(tx, { scope, names }, skipLocked)
        if (ended.length > 0) await takeOver(tx, { scope, names: ended, owner, ttlMs })
        if (renewed + ended.length < names.length) await insertMissing(tx, { scope, names, owner, ttlMs })
      }
      return readOwn(tx, { scope, names, owner, ttlMs }, sentAtMs)
    },
    { isolation: 'read-committed', timeoutMs, urgent: true, ...(signal && { signal }) },
  )
}

interface Names {
  readonly scope: string
  readonly names: readonly string[]
}

interface Grant extends Names {
  readonly owner: string
  readonly ttlMs: number
}

/** An ordinary update, which passes the KEY SHARE locks of the owner's own transactions in flight. */
function renewOwn(tx: Transaction, { scope, names, owner, ttlMs }: Grant): Promise<number> {
  const { store } = tx
  return tx.execute(
    sql`update ${store.table('lease')} set until_ms = ${store.dialect.nowMs} + ${ttlMs}
      where scope = ${scope} and ${nameIn(store, names)} and owner = ${owner} and until_ms > ${store.dialect.nowMs}`,
  )
}

/**
 * Locks the ended leases before they change hands.
 *
 * PostgreSQL: it must be FOR UPDATE and in the transaction itself, not in a savepoint. A transaction that records an
 * effect under the old epoch holds the row FOR KEY SHARE; the UPDATE below alone would take FOR NO KEY UPDATE, which
 * does not conflict with that, and the former holder could commit beside its successor. Since one transaction's lock
 * and update of a row merge into the stronger of the two, the update then counts as a change of the key: whoever later
 * asks for KEY SHARE with an older snapshot is sent on to the new version and finds the new epoch there (read
 * committed) or fails with 40001 (stricter levels). After a wait, the WHERE is looked at again on the newest version.
 * @see PostgreSQL manual, Explicit Locking, Row-Level Locks; access/heap/README.tuplock
 */
async function lockEnded(tx: Transaction, { scope, names }: Names, skipLocked: boolean): Promise<string[]> {
  const { store } = tx
  const rows = await tx.query<{ name: string }>(
    sql`select name from ${store.table('lease')}
      where scope = ${scope} and ${nameIn(store, names)} and until_ms <= ${store.dialect.nowMs}
      order by name${store.dialect.forUpdate({ skipLocked: skipLocked && store.dialect.skipLocked })}`,
  )
  return rows.map((row) => row.name)
}

async function takeOver(tx: Transaction, { scope, names, owner, ttlMs }: Grant): Promise<void> {
  const { store } = tx
  await tx.execute(
    sql`update ${store.table('lease')} set epoch = epoch + 1, owner = ${owner}, until_ms = ${store.dialect.nowMs} + ${ttlMs}
      where scope = ${scope} and ${nameIn(store, names)}`,
  )
}

/** The unique key decides between two that insert at once: the second waits for the first and then inserts nothing. */
async function insertMissing(tx: Transaction, { scope, names, owner, ttlMs }: Grant): Promise<void> {
  const { store } = tx
  const { dialect } = store
  const wanted = dialect.rowsAs(
    'wanted',
    [{ name: 'name', type: 'text' }],
    names.map((name) => [name]),
  )
  await tx.execute(
    dialect.insertSelect(
      store.table('lease'),
      ['scope', 'name', 'owner', 'epoch', 'until_ms'],
      sql`select ${scope}, wanted.name, ${owner}, 1, ${dialect.nowMs} + ${ttlMs} from ${wanted} where 1 = 1`,
      { onConflict: 'ignore' },
    ),
  )
}

/** What this owner now holds of `names`, in the order of the names: that of the rows on disk changes by itself. */
async function readOwn(
  tx: Transaction,
  { scope, names, owner, ttlMs }: Grant,
  sentAtMs: number,
): Promise<Lease[]> {
  const { store } = tx
  const { nowMs } = store.dialect
  const askedAtMs = store.clock.monotonic()
  const rows = await tx.query<GrantedRow>(
    sql`select scope, name, owner, epoch, until_ms - ${nowMs} as left_ms from ${store.table('lease')}
      where scope = ${scope} and ${nameIn(store, names)} and owner = ${owner} and until_ms > ${nowMs}
      order by name`,
  )
  return rows.map((row) => toLease(row, { ttlMs, sentAtMs, askedAtMs }))
}

function nameIn(store: Store, names: readonly string[]): Sql {
  return store.dialect.isOneOf(sql.ident('name'), 'text', names)
}
