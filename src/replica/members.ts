/** The statements on the table of members, one per function. */
import type { ReplicaId, VersionVector } from '../causality/index.ts'
import { ConfigError } from '../core/errors.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { Transaction } from '../store/transaction.ts'

/** What this store knows of one peer. Null: never. */
export interface PeerStatus {
  readonly replica: ReplicaId
  /** Since anything came from it. */
  readonly heardAgoMs: number | null
  /** Every read here contains all that the peer held so long ago. */
  readonly pulledAgoMs: number | null
  /** The peer has all that was here so long ago. */
  readonly hasOursAgoMs: number | null
}

type Instant = 'heard_at_ms' | 'pulled_at_ms' | 'has_ours_at_ms'

/**
 * Makes sure that this store is the replica `id`, and makes it so at the first time. Gives false where it was made just
 * now, which a rollback may undo.
 * @throws ConfigError where the store is another replica
 */
export async function identify(tx: Transaction, id: ReplicaId): Promise<boolean> {
  const found = await readOwnId(tx)
  if (found !== undefined) return assertSelf(found, id)
  const { dialect } = tx.store
  const table = tx.store.table('replica_member')
  // Of two processes that give two ids at once, the partial unique index lets one through.
  await tx.execute(
    dialect.insertSelect(table, ['replica', 'is_self'], sql`select ${id}, 1 where 1 = 1`, {
      onConflict: 'ignore',
    }),
  )
  assertSelf(await readOwnId(tx), id)
  return false
}

/** The id of the replica that this store is; undefined while nothing was written in one. */
export async function readOwnId(on: Store | Transaction): Promise<ReplicaId | undefined> {
  const store = 'store' in on ? on.store : on
  const [row] = await on.query<{ replica: string }>(
    sql`select replica from ${store.table('replica_member')} where is_self = 1`,
  )
  return row?.replica
}

function assertSelf(found: string | undefined, id: ReplicaId): true {
  if (found === id) return true
  throw new ConfigError('createReplica', [
    found === undefined
      ? `this store knows "${id}" as a peer: two stores must not have one id`
      : `this store is replica "${found}", not "${id}": a store keeps its id, and two stores must not have one`,
  ])
}

/** The highest counts in records that were pruned here. */
export async function readFloors(on: Store | Transaction): Promise<VersionVector> {
  const store = 'store' in on ? on.store : on
  const rows = await on.query<{ replica: string; count_floor: unknown }>(
    sql`select replica, count_floor from ${store.table('replica_member')} where count_floor > 0`,
  )
  return new Map(rows.map((row) => [row.replica, Number(row.count_floor)]))
}

/** Raises the floors; the caller deletes the records in the same transaction. */
export async function raiseFloors(tx: Transaction, pruned: VersionVector): Promise<void> {
  const table = tx.store.table('replica_member')
  for (const [replica, count] of [...pruned].sort(([a], [b]) => (a < b ? -1 : 1))) {
    await tx.execute(
      sql`insert into ${table} as member (replica, count_floor) values (${replica}, ${count})
        on conflict (replica) do update set count_floor = excluded.count_floor
        where member.count_floor < excluded.count_floor`,
    )
  }
}

/** Notes an instant of a peer; instants only grow. `atMs` undefined: now, on the store's clock. */
export async function notePeer(
  on: Store | Transaction,
  { replica, instant, atMs }: { replica: ReplicaId; instant: Instant; atMs?: number },
): Promise<void> {
  const store = 'store' in on ? on.store : on
  const table = store.table('replica_member')
  const column = sql.ident(instant)
  const at = atMs === undefined ? store.dialect.nowMs : sql`${atMs}`
  await on.execute(
    sql`insert into ${table} as member (replica, ${column}) values (${replica}, ${at})
      on conflict (replica) do update set ${column} = excluded.${column}
      where member.${column} is null or member.${column} < excluded.${column}`,
  )
}

/** All but the own one, members or not, by name. */
export async function readPeers(
  store: Store,
): Promise<(PeerStatus & { readonly hasOursAtMs: number | null })[]> {
  const rows = await store.read<Record<string, unknown>>(
    sql`select replica, heard_at_ms, pulled_at_ms, has_ours_at_ms, ${store.dialect.nowMs} as now_ms
      from ${store.table('replica_member')} where is_self = 0 order by replica`,
  )
  return rows.map((row) => {
    const ago = (at: unknown): number | null =>
      at === null ? null : Math.max(0, Number(row.now_ms) - Number(at))
    return {
      replica: String(row.replica),
      heardAgoMs: ago(row.heard_at_ms),
      pulledAgoMs: ago(row.pulled_at_ms),
      hasOursAgoMs: ago(row.has_ours_at_ms),
      hasOursAtMs: row.has_ours_at_ms === null ? null : Number(row.has_ours_at_ms),
    }
  })
}

export async function readStoreNow(store: Store): Promise<number> {
  const [row] = await store.read<{ now_ms: unknown }>(sql`select ${store.dialect.nowMs} as now_ms`)
  return Number(row?.now_ms)
}
