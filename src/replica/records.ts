/** The statements on the table of records, one per function. */
import { decodeVector, encodeVector, type VersionVector } from '../causality/index.ts'
import { SerializationError } from '../store/errors.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { digestOf, isDead, type RecordId, type RecordState, recordState } from './record.ts'

interface RecordRow {
  readonly vector: string
  readonly siblings: string
}

/** Undefined where there is no row: never written here, or pruned. */
export async function loadRecord(
  on: Store | Transaction,
  { collection, key }: RecordId,
): Promise<RecordState | undefined> {
  const store = 'store' in on ? on.store : on
  const statement = sql`select vector, siblings from ${store.table('replica_record')}
    where collection = ${collection} and key = ${key}`
  const [row] = 'store' in on ? await on.query<RecordRow>(statement) : await on.read<RecordRow>(statement)
  return row && decodeRow(row)
}

/**
 * Changes a record: `change` gets what is there (undefined where there is no row) and gives what is to be there, or
 * undefined to leave it. Gives what was there.
 *
 * The row is locked to COMMIT, so that the writers of one record stand in a row and each sees what the one before left;
 * two that make the record at the same time meet at its primary key, and the second looks again. At stricter levels the
 * database refuses the second one, and the transaction is run again. On SQLite this transaction is the only writer.
 */
export async function changeRecord(
  tx: Transaction,
  record: RecordId,
  change: (state: RecordState | undefined) => RecordState | undefined | Promise<RecordState | undefined>,
): Promise<RecordState | undefined> {
  for (let tries = 1; tries <= 3; tries++) {
    const before = await lockRecord(tx, record)
    const after = await change(before)
    if (after === undefined) return before
    if (before !== undefined) {
      await updateRecord(tx, record, after)
      return before
    }
    if (await insertRecord(tx, record, after)) return undefined
  }
  throw new SerializationError({ cause: new Error('the record came and went three times') })
}

async function lockRecord(tx: Transaction, { collection, key }: RecordId): Promise<RecordState | undefined> {
  const { dialect } = tx.store
  const [row] = await tx.query<RecordRow>(
    sql`select vector, siblings from ${tx.store.table('replica_record')}
      where collection = ${collection} and key = ${key}${dialect.forUpdate()}`,
  )
  return row && decodeRow(row)
}

async function updateRecord(tx: Transaction, record: RecordId, state: RecordState): Promise<void> {
  const { vector, siblings, dead, bucket, digest } = encodeRow(record, state)
  await tx.execute(
    sql`update ${tx.store.table('replica_record')}
      set vector = ${vector}, siblings = ${siblings}, dead = ${dead}, bucket = ${bucket}, digest = ${digest},
        changed_at_ms = ${tx.store.dialect.nowMs}
      where collection = ${record.collection} and key = ${record.key}`,
  )
}

async function insertRecord(tx: Transaction, record: RecordId, state: RecordState): Promise<boolean> {
  const { vector, siblings, dead, bucket, digest } = encodeRow(record, state)
  const { dialect } = tx.store
  const changed = await tx.execute(
    dialect.insertSelect(
      tx.store.table('replica_record'),
      ['collection', 'key', 'vector', 'siblings', 'dead', 'bucket', 'digest', 'changed_at_ms'],
      sql`select ${record.collection}, ${record.key}, ${vector}, ${siblings}, ${dead}, ${bucket}, ${digest}, ${dialect.nowMs} where 1 = 1`,
      { onConflict: 'ignore' },
    ),
  )
  return changed === 1
}

function encodeRow(record: RecordId, state: RecordState) {
  const { alive } = recordState.encode(state) as { alive: unknown }
  return {
    vector: JSON.stringify(encodeVector(state.context)),
    siblings: JSON.stringify(alive),
    dead: isDead(state) ? 1 : 0,
    ...digestOf(record, state.context),
  }
}

function decodeRow(row: RecordRow): RecordState {
  return recordState.decode({ context: JSON.parse(row.vector), alive: JSON.parse(row.siblings) })
}

/** The context alone, for comparisons. */
export function decodeContextColumn(text: string): VersionVector {
  return decodeVector(JSON.parse(text))
}

export interface RecordCounts {
  readonly records: number
  /** Rows of deleted records that are not pruned yet. */
  readonly tombstones: number
}

export async function countRecords(store: Store): Promise<RecordCounts> {
  const rows = await store.read<{ dead: unknown; count: unknown }>(
    sql`select dead, count(*) as count from ${store.table('replica_record')} group by dead`,
  )
  const count = (dead: number): number => Number(rows.find((row) => Number(row.dead) === dead)?.count ?? 0)
  return { records: count(0), tombstones: count(1) }
}
