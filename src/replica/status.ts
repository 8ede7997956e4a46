import type { ReplicaId } from '../causality/index.ts'
import { checkArguments, isName } from '../core/options.ts'
import { createOutbox, type Outbox } from '../outbox/index.ts'
import { isStore } from '../store/arguments.ts'
import type { Store } from '../store/store.ts'
import { countConflicts } from './conflicts.ts'
import { type PeerStatus, readOwnId, readPeers } from './members.ts'
import { outboxName } from './message.ts'
import { countRecords, type RecordCounts } from './records.ts'

export interface Staleness {
  /** Each other member, and whoever else was heard of. */
  readonly peers: readonly PeerStatus[]
  /**
   * Every read here contains all that every other member held so long ago; null while one of them was never pulled
   * from. It grows while a member cannot be reached.
   */
  readonly staleMs: number | null
}

export interface ReplicaStatus extends RecordCounts, Staleness {
  readonly replica: ReplicaId
  readonly conflicts: number
  /** Changes that are not with the broker yet, and the age of the oldest. */
  readonly outbox: { readonly backlog: number; readonly oldestAgeMs: number }
}

/** One statement. */
export async function readStaleness(
  store: Store,
  { id, members }: { id: ReplicaId; members: readonly ReplicaId[] },
): Promise<Staleness> {
  const found = await readPeers(store)
  const known = new Map(found.map(({ hasOursAtMs: _, ...peer }) => [peer.replica, peer]))
  for (const replica of members) {
    if (replica === id || known.has(replica)) continue
    known.set(replica, { replica, heardAgoMs: null, pulledAgoMs: null, hasOursAgoMs: null })
  }
  const peers = [...known.values()].sort((a, b) => (a.replica < b.replica ? -1 : 1))
  const others = peers
    .filter(({ replica }) => members.includes(replica))
    .map(({ pulledAgoMs }) => pulledAgoMs)
  return { peers, staleMs: others.includes(null) ? null : Math.max(0, ...(others as number[])) }
}

/** What a store says of itself, without its application: the peers are those it has heard of. Undefined: no replica. */
export async function readReplicaStatus(store: Store, set = 'default'): Promise<ReplicaStatus | undefined> {
  checkArguments('readReplicaStatus', isStore(store), isName('set', set, 40))
  const id = await readOwnId(store)
  if (id === undefined) return undefined
  const members = (await readPeers(store)).map(({ replica }) => replica)
  return readStatus(store, { id, members, outbox: createOutbox(store, { name: outboxName(set) }) })
}

export async function readStatus(
  store: Store,
  { id, members, outbox }: { id: ReplicaId; members: readonly ReplicaId[]; outbox: Outbox },
): Promise<ReplicaStatus> {
  const { backlog, oldestAgeMs } = await outbox.figures()
  return {
    replica: id,
    ...(await readStaleness(store, { id, members })),
    ...(await countRecords(store)),
    conflicts: await countConflicts(store),
    outbox: { backlog, oldestAgeMs },
  }
}
