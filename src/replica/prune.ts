import { emptyVector, mergeVectors, type ReplicaId, type VersionVector } from '../causality/index.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'
import { raiseFloors, readPeers } from './members.ts'
import { decodeContextColumn } from './records.ts'
import type { ResolvedReplica } from './replica-options.ts'

export interface Pruned {
  readonly tombstones: number
  readonly conflicts: number
  readonly acks: number
}

/** Longer than any transaction of this store runs, and than clocks that are within the drift bound differ. */
export const PRUNE_MARGIN_MS = 600_000
const ACK_KEPT_MS = 86_400_000
const BATCH = 500

/**
 * The instant on this store's clock before which a record must have been deleted to go; undefined while a member has
 * never pulled from here. By then every member has pulled the deletion, after the last message that may still be merged
 * into a record that is not there had been written. Pure.
 */
export function pruneBefore(
  peers: readonly { readonly replica: ReplicaId; readonly hasOursAtMs: number | null }[],
  { members, id, messageAgeMaxMs }: { members: readonly ReplicaId[]; id: ReplicaId; messageAgeMaxMs: number },
): number | undefined {
  const instants = members
    .filter((member) => member !== id)
    .map((member) => peers.find(({ replica }) => replica === member)?.hasOursAtMs ?? null)
  if (instants.length === 0 || instants.some((at) => at === null)) return undefined
  return Math.min(...(instants as number[])) - messageAgeMaxMs - PRUNE_MARGIN_MS
}

/** Forgets deleted records that nobody can bring back, old conflicts and old confirmations, in bounded batches. */
export async function prune(
  store: Store,
  { members, id }: ResolvedReplica,
  given: {
    readonly messageAgeMaxMs: number
    readonly conflictsKeptMs: number
    readonly signal?: AbortSignal
  },
): Promise<Pruned> {
  const { messageAgeMaxMs, conflictsKeptMs, signal } = given
  const beforeMs = pruneBefore(await readPeers(store), { members, id, messageAgeMaxMs })
  let tombstones = 0
  for (let gone = BATCH; beforeMs !== undefined && gone === BATCH; tombstones += gone) {
    gone = await store.transaction((tx) => pruneBatch(tx, beforeMs), {
      isolation: 'read-committed',
      ...(signal && { signal }),
    })
  }
  const conflicts = await deleteOlder(store, 'replica_conflict', conflictsKeptMs)
  const acks = await deleteOlder(store, 'replica_ack', ACK_KEPT_MS)
  return { tombstones, conflicts, acks }
}

/**
 * The floors go up in the transaction that deletes the rows, so a writer either waits for the row that goes, finds none
 * and reads the floor after it, or has locked it first: then it is no longer dead when its lock ends, or was never
 * among the rows, since locked ones are left for the next round.
 */
async function pruneBatch(tx: Transaction, beforeMs: number): Promise<number> {
  const { store } = tx
  const { dialect } = store
  const table = store.table('replica_record')
  const rows = await tx.query<{ collection: string; key: string; vector: string }>(
    sql`select collection, key, vector from ${table} where dead = 1 and changed_at_ms < ${beforeMs}
      order by changed_at_ms limit ${BATCH}${dialect.forUpdate(dialect.skipLocked ? { skipLocked: true } : {})}`,
  )
  let pruned: VersionVector = emptyVector
  for (const { collection, key, vector } of rows) {
    pruned = mergeVectors(pruned, decodeContextColumn(vector))
    await tx.execute(sql`delete from ${table} where collection = ${collection} and key = ${key}`)
  }
  await raiseFloors(tx, pruned)
  return rows.length
}

async function deleteOlder(
  store: Store,
  name: 'replica_conflict' | 'replica_ack',
  keptMs: number,
): Promise<number> {
  return store.execute(
    sql`delete from ${store.table(name)} where at_ms < ${store.dialect.nowMs} - ${Math.ceil(keptMs)}`,
  )
}
