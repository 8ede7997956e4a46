import { decodeDots, encodeDots, type LiveDots, mergeDots, withDotAlive, withoutDots } from './live-dots.ts'
import { type Mergeable, ofStates } from './mergeable.ts'
import { readMembers } from './read.ts'
import { plainValue } from './value.ts'
import {
  bumpVector,
  compareVectors,
  decodeVector,
  emptyVector,
  encodeVector,
  isVector,
  mergeVectors,
  nextDot,
  type ReplicaId,
  type VersionVector,
  withDot,
} from './version-vector.ts'

/**
 * All values that no other write has replaced, and what has been seen. More than one value: they are siblings, written
 * by people who had not seen each other's.
 */
export interface MultiValue<T> {
  readonly context: VersionVector
  readonly alive: LiveDots<T>
}

export interface MultiValueKind<T> extends Mergeable<MultiValue<T>> {
  /**
   * Writes a value for someone who had seen `past` (default: all of this state). It replaces exactly the siblings in
   * `past`; those that the writer had not seen stay beside it.
   * @throws ConfigError for a bad name; PayloadError for what JSON does not hold and above 1 MiB
   */
  write(state: MultiValue<T>, replica: ReplicaId, value: T, past?: VersionVector): MultiValue<T>
  /** Takes away the siblings in `past` (default: all). A removal is an event, too: what it leaves is its count. */
  clear(state: MultiValue<T>, replica: ReplicaId, past?: VersionVector): MultiValue<T>
  /** The siblings, in the order of their dots; empty when never written or cleared. */
  values(state: MultiValue<T>): readonly T[]
}

/**
 * The multi-value register: keeps every concurrent write and lets the reader decide.
 *
 * Bounds: (siblings) + (replicas that ever wrote). A writer that never says what it has seen makes one sibling per write.
 * @see Almeida, Baquero, Gonçalves, Preguiça, Fonte 2014, Scalable and Accurate Causality Tracking for Eventually
 * Consistent Stores (dotted version vector sets)
 */
export function multiValue<T>(): MultiValueKind<T> {
  const made: MultiValueKind<T> = {
    kind: 'multi-value',
    empty: { context: emptyVector, alive: [] },
    merge: mergeMultiValues,
    compare: (a, b) => compareVectors(a.context, b.context),
    write(state, replica, value, past = state.context) {
      // the writer may have seen what has not come here yet, of this replica's own name too: the dot must be new in both
      const context = mergeVectors(state.context, past)
      const dot = nextDot(context, replica)
      return {
        context: withDot(context, dot),
        alive: withDotAlive(withoutDots(state.alive, past), { ...dot, value: plainValue(value) }),
      }
    },
    clear: (state, replica, past = state.context) => ({
      context: bumpVector(mergeVectors(state.context, past), replica),
      alive: withoutDots(state.alive, past),
    }),
    values: (state) => state.alive.map((dot) => dot.value),
    encode: (state) => ({
      context: encodeVector(state.context),
      alive: encodeDots(state.alive, (value) => value),
    }),
    decode(json) {
      const { context, alive } = readMembers('multi-value', json, ['context', 'alive'])
      const seen = decodeVector(context)
      return {
        context: seen,
        alive: decodeDots('multi-value', alive, seen, (value) => value as T, '$.alive'),
      }
    },
  }
  return ofStates(made, (state: MultiValue<T>) => isVector(state?.context) && Array.isArray(state.alive))
}

function mergeMultiValues<T>(a: MultiValue<T>, b: MultiValue<T>): MultiValue<T> {
  switch (compareVectors(a.context, b.context)) {
    case 'before':
      return b
    case 'after':
    case 'equal':
      return a
    default:
      return {
        context: mergeVectors(a.context, b.context),
        alive: mergeDots(a.alive, a.context, b.alive, b.context),
      }
  }
}
