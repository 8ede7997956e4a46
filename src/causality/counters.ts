import { ConfigError } from '../core/index.ts'
import { checkWhole, type Mergeable, ofStates } from './mergeable.ts'
import { bothOrders } from './order.ts'
import { readMembers } from './read.ts'
import {
  checkReplica,
  compareVectors,
  decodeVector,
  emptyVector,
  encodeVector,
  isVector,
  mergeVectors,
  type ReplicaId,
  type VersionVector,
} from './version-vector.ts'

/** What each replica has counted. The same lattice as a version vector's, and the same code. */
export type GrowCounter = VersionVector

/**
 * The counter that only grows. Bounds: one entry per replica that ever counted; each at most 2^53 - 1.
 * @see Shapiro et al. 2011, section 3.1.1
 */
export const growCounter = ofStates(
  {
    kind: 'grow-counter',
    empty: emptyVector,
    merge: mergeVectors,
    compare: compareVectors,
    encode: encodeVector,
    decode: decodeVector,
    /** @throws ConfigError unless `by` is a whole number from 1, and when the replica's count would pass 2^53 - 1 */
    increment(state: GrowCounter, replica: ReplicaId, by = 1): GrowCounter {
      checkReplica(replica)
      checkWhole('counter', 'by', by, 1)
      const count = (state.get(replica) ?? 0) + by
      if (!Number.isSafeInteger(count))
        throw new ConfigError('counter', [`the count of ${JSON.stringify(replica)} would pass 2^53 - 1`])
      return new Map(state).set(replica, count)
    },
    /** The sum over all replicas. */
    total(state: GrowCounter): bigint {
      let sum = 0n
      for (const count of state.values()) sum += BigInt(count)
      return sum
    },
  },
  isVector,
) satisfies Mergeable<GrowCounter>

/** Two counters that only grow: their difference goes up and down. */
export interface UpDownCounter {
  readonly ups: GrowCounter
  readonly downs: GrowCounter
}

/**
 * The counter that goes up and down. It has no lower bound that holds everywhere at once: two replicas may each spend
 * the last one. Stock and money need a store that decides.
 *
 * Bounds: two entries per replica that ever counted.
 * @see Shapiro et al. 2011, section 3.1.2 (PN-Counter)
 */
export const upDownCounter = ofStates(
  {
    kind: 'up-down-counter',
    empty: { ups: emptyVector, downs: emptyVector },
    merge: (a: UpDownCounter, b: UpDownCounter): UpDownCounter => ({
      ups: mergeVectors(a.ups, b.ups),
      downs: mergeVectors(a.downs, b.downs),
    }),
    compare: (a: UpDownCounter, b: UpDownCounter) =>
      bothOrders(compareVectors(a.ups, b.ups), compareVectors(a.downs, b.downs)),
    encode: (state: UpDownCounter) => ({ ups: encodeVector(state.ups), downs: encodeVector(state.downs) }),
    decode(json: unknown): UpDownCounter {
      const { ups, downs } = readMembers('up-down-counter', json, ['ups', 'downs'])
      return { ups: decodeVector(ups), downs: decodeVector(downs) }
    },
    /** Adds `by`, which may be negative. @throws ConfigError unless it is a whole number other than 0, and past 2^53 - 1 */
    add(state: UpDownCounter, replica: ReplicaId, by: number): UpDownCounter {
      checkWhole('counter', 'by', by, -Number.MAX_SAFE_INTEGER)
      return by < 0
        ? { ups: state.ups, downs: growCounter.increment(state.downs, replica, -by) }
        : { ups: growCounter.increment(state.ups, replica, by), downs: state.downs }
    },
    total: (state: UpDownCounter): bigint => growCounter.total(state.ups) - growCounter.total(state.downs),
  },
  (state: UpDownCounter) => isVector(state?.ups) && isVector(state?.downs),
) satisfies Mergeable<UpDownCounter>
