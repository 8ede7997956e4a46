import { compareVectors, type ReplicaId, type VersionVector } from '../causality/index.ts'
import { isHoldfastError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import { readSums } from './answer.ts'
import { PeerUnavailableError } from './errors.ts'
import { notePeer } from './members.ts'
import { type MergeSettings, mergeIncoming } from './merge-incoming.ts'
import {
  decodeStates,
  decodeSums,
  decodeVectors,
  type PeerLink,
  type PeerQuestion,
  STATES_MAX,
  type Sums,
  type VectorsAnswer,
} from './peer-link.ts'
import type { RecordId } from './record.ts'
import { decodeContextColumn } from './records.ts'

export interface PullReport {
  readonly peer: ReplicaId
  /** Buckets whose sums differed. */
  readonly differing: number
  /** Records that the peer had something new of, and that are merged here now. */
  readonly merged: number
  /** Records that could not be taken (stamped too far ahead, not fitting their schema); the pull does not count as finished. */
  readonly refused: number
}

export interface PullSettings extends MergeSettings {
  readonly store: Store
  readonly peer: ReplicaId
  readonly link: PeerLink
  readonly log: Log
  readonly signal: AbortSignal
}

type Ask = (question: QuestionBody) => Promise<unknown>
/** A question without who asks. */
type QuestionBody = PeerQuestion extends infer Q
  ? Q extends PeerQuestion
    ? Omit<Q, 'v' | 'set' | 'from'>
    : never
  : never

/**
 * Brings what a peer has and this store has not, and tells the peer when all of it is here.
 *
 * Bounds: one question while the stores are equal; else one for each page of vectors of a bucket that differs, and one
 * for each hundred records. Each such batch is one transaction.
 * @throws PeerUnavailableError; errors of this store
 */
export async function pull(settings: PullSettings): Promise<PullReport> {
  const { store, peer } = settings
  const ask = asker(settings)
  // What the peer commits after this instant may be missing, and nothing that it committed before.
  const ours = await readSums(store)
  const theirs = decodeSums(await ask({ ask: 'sums' }))
  if (theirs.replica !== peer) {
    throw new PeerUnavailableError(peer, { cause: new Error(`"${theirs.replica}" answers there`) })
  }
  await notePeer(store, { replica: peer, instant: 'heard_at_ms' })
  const buckets = differing(ours.sums, theirs.sums)
  let merged = 0
  let refused = 0
  for (const bucket of buckets) {
    for await (const page of vectors(ask, bucket)) {
      const wanted = await missing(store, page)
      for (let rest = wanted; rest.length > 0; ) {
        const asked = rest.slice(0, STATES_MAX)
        const { states, answered } = decodeStates(
          await ask({ ask: 'states', records: asked.map(({ collection, key }) => [collection, key]) }),
        )
        const taken = await mergeStates(settings, states)
        merged += taken.merged
        refused += taken.refused
        rest = rest.slice(answered)
      }
    }
  }
  if (refused === 0) {
    await ask({ ask: 'pulled', atMs: theirs.atMs })
    await notePeer(store, { replica: peer, instant: 'pulled_at_ms', atMs: ours.atMs })
  }
  return { peer, differing: buckets.length, merged, refused }
}

/** The buckets in which something differs. Pure. */
function differing(ours: Sums, theirs: Sums): number[] {
  return ours.flatMap((sum, bucket) => (sum === theirs[bucket] ? [] : [bucket]))
}

async function* vectors(ask: Ask, bucket: number): AsyncGenerator<VectorsAnswer['records']> {
  for (let after: readonly [string, string] | undefined; ; ) {
    const page = decodeVectors(await ask({ ask: 'vectors', bucket, ...(after && { after }) }))
    yield page.records
    const last = page.records.at(-1)
    if (!page.more || last === undefined) return
    after = [last.collection, last.key]
  }
}

/** The records of which the peer has seen something that this store has not. */
async function missing(store: Store, page: VectorsAnswer['records']): Promise<RecordId[]> {
  if (page.length === 0) return []
  const columns = [
    { name: 'collection', type: 'text' },
    { name: 'key', type: 'text' },
  ] as const
  const rows = await store.read<RecordId & { vector: string }>(
    sql`select r.collection, r.key, r.vector from ${store.table('replica_record')} r
      join ${store.dialect.rowsAs(
        'wanted',
        columns,
        page.map(({ collection, key }) => [collection, key]),
      )} on r.collection = wanted.collection and r.key = wanted.key`,
  )
  const here = new Map(rows.map((row) => [JSON.stringify([row.collection, row.key]), row.vector]))
  return page.filter(({ collection, key, context, dead }) => {
    const vector = here.get(JSON.stringify([collection, key]))
    return vector === undefined ? !dead : hasMore(context, decodeContextColumn(vector))
  })
}

function hasMore(theirs: VersionVector, ours: VersionVector): boolean {
  return ['after', 'concurrent'].includes(compareVectors(theirs, ours))
}

/** One transaction for all; where one of them cannot be taken, each by itself, so that the others are. */
async function mergeStates(
  settings: PullSettings,
  states: readonly (RecordId & { readonly state: Parameters<typeof mergeIncoming>[2]['state'] })[],
): Promise<{ merged: number; refused: number }> {
  const { store, signal } = settings
  const mergeAll = (some: typeof states): Promise<number> =>
    store.transaction(
      async (tx) => {
        let merged = 0
        for (const { collection, key, state } of some) {
          const incoming = { record: { collection, key }, state, pulled: true }
          if ((await mergeIncoming(settings, tx, incoming)).kind === 'merged') merged++
        }
        return merged
      },
      { signal },
    )
  try {
    return { merged: await mergeAll(states), refused: 0 }
  } catch (error) {
    if (!isRefusal(error)) throw error
  }
  let merged = 0
  let refused = 0
  for (const one of states) {
    try {
      merged += await mergeAll([one])
    } catch (error) {
      if (!isRefusal(error)) throw error
      refused++
      settings.log.warn('a record of a peer cannot be taken', {
        peer: settings.peer,
        collection: one.collection,
        error,
      })
    }
  }
  return { merged, refused }
}

function isRefusal(error: unknown): boolean {
  return isHoldfastError(error) && ['CLOCK_DRIFT', 'PAYLOAD_INVALID'].includes(error.code)
}

function asker({ link, peer, options, signal }: PullSettings): Ask {
  return async (question) => {
    signal.throwIfAborted()
    try {
      return await link.ask({ v: 1, set: options.set, from: options.id, ...question }, { signal })
    } catch (cause) {
      if (signal.aborted) throw signal.reason
      throw isHoldfastError(cause) && cause.code === 'REPLICA_PEER_UNAVAILABLE'
        ? cause
        : new PeerUnavailableError(peer, { cause })
    }
  }
}
