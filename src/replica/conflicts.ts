import { createHash } from 'node:crypto'
import { isHoldfastError } from '../core/errors.ts'
import { canonicalJson } from '../core/index.ts'
import { checkArguments, checkOptions, isCount, isObject, isText } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import type { Collection } from './collection.ts'
import { encodeValue, nameOfPolicy, type Reading, readRecord } from './policy.ts'
import type { RecordId, RecordState } from './record.ts'

/** One side of a conflict, as it was written. */
export interface ConflictSide {
  readonly replica: string
  readonly count: number
  /** An encoded stamp. */
  readonly at: string
  readonly deleted: boolean
  readonly value?: unknown
}

/** What the policy made of the sides. */
export type Decision =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'deleted' }
  /** `multi-value`: all stand, until somebody who has seen them writes. */
  | { readonly kind: 'siblings'; readonly values: readonly unknown[] }
  /** Your merge function threw. */
  | { readonly kind: 'failed'; readonly message: string }

/** Versions of one record that were written without having seen one another. */
export interface Conflict extends RecordId {
  readonly id: string
  /** When they met in this store, on its clock. */
  readonly atMs: number
  readonly policy: string
  readonly sides: readonly ConflictSide[]
  readonly decision: Decision
}

/** The versions that stand beside one another, and what the policy makes of them. Pure. */
export function describeConflict(
  record: RecordId,
  state: RecordState,
  { merge }: Collection,
): Omit<Conflict, 'atMs'> {
  const dots = state.alive.map(({ replica, count }) => [replica, count])
  const sides = state.alive.map(({ replica, count, value }) => ({
    replica,
    count,
    at: value.at,
    ...('deleted' in value ? { deleted: true } : { deleted: false, value: value.value }),
  }))
  const id = createHash('sha256')
    .update(canonicalJson([record.collection, record.key, dots]))
    .digest('base64url')
    .slice(0, 16)
  return { ...record, id, policy: nameOfPolicy(merge), sides, decision: decide(state, merge) }
}

function decide(state: RecordState, policy: Collection['merge']): Decision {
  let reading: Reading
  try {
    reading = readRecord(state, policy)
  } catch (error) {
    // Only the text: what a user's function throws may hold anything.
    return { kind: 'failed', message: isHoldfastError(error) ? error.message : String(error) }
  }
  if (!reading.exists) return { kind: 'deleted' }
  if (reading.values.length > 1) return { kind: 'siblings', values: reading.values }
  return { kind: 'value', value: encodeValue(policy, reading.value) }
}

/** Notes that versions met. The same meeting, seen again after another route, is one row. */
export async function logConflict(tx: Transaction, conflict: Omit<Conflict, 'atMs'>): Promise<void> {
  const { dialect } = tx.store
  const { id, collection, key, policy, sides, decision } = conflict
  await tx.execute(
    dialect.insertSelect(
      tx.store.table('replica_conflict'),
      ['id', 'collection', 'key', 'policy', 'sides', 'decision', 'at_ms'],
      sql`select ${id}, ${collection}, ${key}, ${policy}, ${JSON.stringify(sides)}, ${JSON.stringify(decision)}, ${dialect.nowMs} where 1 = 1`,
      { onConflict: 'ignore' },
    ),
  )
}

export interface ConflictFilter {
  readonly collection?: string
  readonly key?: string
  /** Default 100. */
  readonly limit?: number
}

/** Newest first. */
export async function listConflicts(store: Store, filter: ConflictFilter = {}): Promise<Conflict[]> {
  checkArguments('replica.conflicts', isStore(store), isObject('filter', filter))
  const { collection, key, limit = 100 } = filter
  checkOptions(
    'replica.conflicts',
    filter,
    ['collection', 'key', 'limit'],
    [
      collection === undefined || isText('collection', collection),
      key === undefined || isText('key', key),
      isCount('limit', limit, 1, 1_000_000),
    ],
  )
  const where = [
    sql`1 = 1`,
    ...(collection === undefined ? [] : [sql`collection = ${collection}`]),
    ...(key === undefined ? [] : [sql`key = ${key}`]),
  ]
  const rows = await store.read<Record<string, unknown>>(
    sql`select * from ${store.table('replica_conflict')} where ${sql.join(where, ' and ')}
      order by at_ms desc, id limit ${limit}`,
  )
  return rows.map(fromRow)
}

export async function showConflict(store: Store, id: string): Promise<Conflict | undefined> {
  checkArguments('replica.conflict', isStore(store), isText('id', id))
  const [row] = await store.read<Record<string, unknown>>(
    sql`select * from ${store.table('replica_conflict')} where id = ${id}`,
  )
  return row && fromRow(row)
}

export async function countConflicts(store: Store): Promise<number> {
  const [row] = await store.read<{ count: unknown }>(
    sql`select count(*) as count from ${store.table('replica_conflict')}`,
  )
  return Number(row?.count)
}

function fromRow(row: Record<string, unknown>): Conflict {
  return {
    id: String(row.id),
    collection: String(row.collection),
    key: String(row.key),
    policy: String(row.policy),
    sides: JSON.parse(String(row.sides)),
    decision: JSON.parse(String(row.decision)),
    atMs: Number(row.at_ms),
  }
}
