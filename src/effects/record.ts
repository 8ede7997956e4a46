import {
  type Check,
  checkArguments,
  checkOptions,
  isList,
  isName,
  isObject,
  isToken,
} from '../core/options.ts'
import { isTransaction } from '../store/arguments.ts'
import { SerializationError } from '../store/errors.ts'
import { Sql, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { StaleEpochError } from './errors.ts'

/** Names an effect: what was done (`id`) for whom (`scope`), and which part of it (`phase`, empty for the whole). */
export interface EffectKey {
  readonly scope: string
  readonly id: string
  readonly phase?: string
}

export interface EffectOptions extends EffectKey {
  /**
   * The attempt that does it, where attempts are counted (a saga). An effect recorded under a newer one then refuses
   * this one. Default: the epoch of `lease`, or 0, and no such comparison.
   */
  readonly epoch?: bigint
  /** The lease under which it is done. It must still have this epoch, and keeps it until COMMIT. */
  readonly lease?: LeaseEpoch
}

export interface LeaseEpoch {
  readonly scope: string
  readonly name: string
  readonly epoch: bigint
}

export interface StoredEffect {
  /** What `storeEffectResult` wrote, null when nothing was stored. */
  readonly result: string | null
  /** The epoch it was recorded under. */
  readonly epoch: bigint
}

export type Recorded = { readonly kind: 'first' } | ({ readonly kind: 'repeated' } & StoredEffect)

/**
 * Records an effect in the business transaction, before the business writes: insert first, look never.
 *
 * Guarantee: of all transactions that record one key, one commits as the first. Another one at the same time waits for
 * it and is then told `repeated`, or becomes the first when that one rolled back. With `lease`, the row is inserted
 * only if the lease has that epoch, and no take-over can finish before this transaction has ended.
 * Bounds: one statement; two when it was done before.
 * @throws StaleEpochError, outcome `not-applied`: let it end the transaction
 */
export async function recordEffect(tx: Transaction, options: EffectOptions): Promise<Recorded> {
  checkArguments('recordEffect', isTransaction(tx), isObject('options', options))
  const { id, lease } = options
  checkOptions('recordEffect', options, OPTION_NAMES, [isName('id', id, 500), ...effectChecks(options)])
  for (let tries = 1; tries <= 2; tries++) {
    if ((await insertEffects(tx, options, [id])).length === 1) return { kind: 'first' }
    const [found] = await findEffects(tx, options, [id])
    if (found !== undefined) return { kind: 'repeated', ...found.stored }
    if (lease !== undefined) await assertEpoch(tx, lease)
    // Pruned between the two statements: it is free again.
  }
  throw new SerializationError({ cause: new Error('the effect came and went twice') })
}

export interface EffectsOptions extends Omit<EffectOptions, 'id'> {
  /** Without duplicates. */
  readonly ids: readonly string[]
}

export interface RecordedEffects {
  /** The ids that this transaction is the first to record. */
  readonly first: ReadonlySet<string>
  /** The others, with what is stored. */
  readonly repeated: ReadonlyMap<string, StoredEffect>
}

/**
 * Records many effects at once: the same guarantee for each, one statement for all, a second one only when some were
 * done before.
 * @throws StaleEpochError when the lease, or one of the effects, has a newer epoch
 */
export async function recordEffects(tx: Transaction, options: EffectsOptions): Promise<RecordedEffects> {
  checkArguments('recordEffects', isTransaction(tx), isObject('options', options))
  const { ids, lease } = options
  checkArguments('recordEffects', isList('ids', ids))
  checkOptions(
    'recordEffects',
    options,
    [...OPTION_NAMES.filter((name) => name !== 'id'), 'ids'],
    [
      ...ids.map((id) => isName('each id', id, 500)),
      new Set(ids).size === ids.length || 'ids must be without duplicates',
      ...effectChecks(options),
    ],
  )
  const first = new Set<string>()
  const repeated = new Map<string, StoredEffect>()
  let open = ids
  for (let tries = 1; tries <= 2 && open.length > 0; tries++) {
    for (const id of await insertEffects(tx, options, open)) first.add(id)
    open = open.filter((id) => !first.has(id))
    if (open.length === 0) break
    for (const { id, stored } of await findEffects(tx, options, open)) repeated.set(id, stored)
    open = open.filter((id) => !repeated.has(id))
    if (open.length > 0 && lease !== undefined) await assertEpoch(tx, lease)
    // Pruned between the two statements: they are free again.
  }
  if (open.length > 0) throw new SerializationError({ cause: new Error('effects came and went twice') })
  return { first, repeated }
}

const OPTION_NAMES = ['scope', 'id', 'phase', 'epoch', 'lease']
const COLUMNS = ['scope', 'id', 'phase', 'epoch', 'recorded_at_ms']

/**
 * Inserts those that are missing, if the lease has the epoch, and gives their ids.
 *
 * The lease is read FOR KEY SHARE, so the check and the hold cost no statement of their own. On PostgreSQL that lock
 * lets renewals pass (an update of no key column) and stands in the way of a take-over, which asks FOR UPDATE: so the
 * epoch that was checked is still the epoch at COMMIT. Had a take-over begun before, this statement waits for it, goes
 * on to the new version of the row, finds another epoch and inserts nothing. What the statement saw is then too old for
 * the question, so a look of its own tells why. On SQLite this transaction is the only writer.
 *
 * Two transactions that record several ids each take them in one order, and so cannot wait in a circle.
 */
async function insertEffects(
  tx: Transaction,
  options: Omit<EffectOptions, 'id'>,
  ids: readonly string[],
): Promise<string[]> {
  const { scope, phase = '', epoch, lease } = options
  const { dialect } = tx.store
  const table = tx.store.table('effect')
  const [only = ''] = ids
  const many = ids.length > 1
  const sources = [
    lease && heldLease(tx, lease),
    many &&
      dialect.rowsAs(
        'wanted',
        [{ name: 'id', type: 'text' }],
        [...ids].sort().map((id) => [id]),
      ),
  ].filter((source) => source instanceof Sql)
  const from = sources.length > 0 ? sql` from ${sql.join(sources)}` : sql``
  const id = many ? sql`wanted.id` : sql`${only}`
  const select = sql`select ${scope}, ${id}, ${phase}, ${epoch ?? lease?.epoch ?? 0n}, ${dialect.nowMs}${from} where 1 = 1`
  if (!many) {
    const changed = await tx.execute(dialect.insertSelect(table, COLUMNS, select, { onConflict: 'ignore' }))
    return changed === 1 ? [only] : []
  }
  const rows = await tx.query<{ id: string }>(
    dialect.insertSelect(table, COLUMNS, select, { onConflict: 'ignore', returning: ['id'] }),
  )
  return rows.map((row) => row.id)
}

/** The lock is in the subquery, where it is taken before any row of the list is looked at. */
function heldLease({ store }: Transaction, lease: LeaseEpoch): Sql {
  return sql`(select epoch from ${store.table('lease')} where scope = ${lease.scope} and name = ${lease.name}
    and epoch = ${lease.epoch}${store.dialect.forKeyShare}) as held`
}

/** What is stored under these ids, once it is certain that the caller is not stale. */
async function findEffects(
  tx: Transaction,
  { scope, phase = '', epoch, lease }: Omit<EffectOptions, 'id'>,
  ids: readonly string[],
): Promise<{ id: string; stored: StoredEffect }[]> {
  const { store } = tx
  const leaseEpoch = lease ? currentEpoch(store, lease) : sql`null`
  const rows = await tx.query<EffectRow>(
    sql`select id, epoch, result, (${leaseEpoch}) as lease_epoch from ${store.table('effect')}
      where scope = ${scope} and phase = ${phase} and ${store.dialect.isOneOf(sql.ident('id'), 'text', ids)}`,
  )
  return rows.map((row) => {
    if (lease !== undefined) refuseStale(lease, row.lease_epoch)
    const stored = { result: row.result, epoch: BigInt(row.epoch) }
    if (epoch !== undefined && stored.epoch > epoch) {
      throw new StaleEpochError(`effect "${row.id}" of "${scope}"`, {
        presented: epoch,
        current: stored.epoch,
      })
    }
    return { id: row.id, stored }
  })
}

interface EffectRow {
  readonly id: string
  readonly epoch: DatabaseInteger
  readonly result: string | null
  readonly lease_epoch: DatabaseInteger | null
}

type DatabaseInteger = string | number | bigint

async function assertEpoch(tx: Transaction, lease: LeaseEpoch): Promise<void> {
  const [row] = await tx.query<{ epoch: DatabaseInteger }>(currentEpoch(tx.store, lease))
  refuseStale(lease, row?.epoch ?? null)
}

function currentEpoch(store: Store, { scope, name }: LeaseEpoch): Sql {
  return sql`select epoch from ${store.table('lease')} where scope = ${scope} and name = ${name}`
}

function refuseStale({ scope, name, epoch }: LeaseEpoch, found: DatabaseInteger | null): void {
  const current = found === null ? undefined : BigInt(found)
  if (current !== epoch)
    throw new StaleEpochError(`lease "${name}" of "${scope}"`, { presented: epoch, current })
}

function effectChecks({ scope, phase, epoch, lease }: Omit<EffectOptions, 'id'>): Check[] {
  return [
    isName('scope', scope),
    phase === undefined || phase === '' || isName('phase', phase),
    epoch === undefined || isToken('epoch', epoch),
    lease === undefined || isToken('lease.epoch', lease.epoch),
  ]
}
