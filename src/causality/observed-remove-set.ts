import { canonicalJson } from '../core/index.ts'
import type { Mergeable } from './mergeable.ts'
import { type ObservedRemoveMap, observedRemoveMap } from './observed-remove-map.ts'
import { malformed } from './read.ts'
import { plainValue } from './value.ts'
import type { ReplicaId } from './version-vector.ts'

/** The elements, each under its canonical JSON. */
export type ObservedRemoveSet<T> = ObservedRemoveMap<T>

export interface ObservedRemoveSetKind<T> extends Mergeable<ObservedRemoveSet<T>> {
  /** @throws ConfigError for a bad replica; PayloadError for what JSON does not hold, and above 1,000 characters */
  add(state: ObservedRemoveSet<T>, replica: ReplicaId, element: T): ObservedRemoveSet<T>
  /** Takes the element away as this state has seen it. The same state where it is not there. */
  remove(state: ObservedRemoveSet<T>, replica: ReplicaId, element: T): ObservedRemoveSet<T>
  has(state: ObservedRemoveSet<T>, element: T): boolean
  /** In no order that means anything. */
  elements(state: ObservedRemoveSet<T>): readonly T[]
}

/**
 * The observed-remove set: of an addition and a removal that had not seen each other, the addition stands.
 *
 * Shape: elements are JSON and equal when their canonical texts are. Bounds: those of the observed-remove map; removed
 * elements take no room.
 * @see Shapiro et al. 2011, section 4.2; Bieniusa et al. 2012, An Optimized Conflict-free Replicated Set
 */
export function observedRemoveSet<T>(): ObservedRemoveSetKind<T> {
  const map = observedRemoveMap<T>(ELEMENT as Mergeable<T>)
  return {
    kind: 'observed-remove-set',
    empty: map.empty,
    merge: map.merge,
    ...(map.compare && { compare: map.compare }),
    encode: map.encode,
    decode(json) {
      const state = map.decode(json)
      for (const [key, alive] of state.entries)
        if (alive.some((dot) => canonicalJson(dot.value) !== key))
          throw malformed('observed-remove-set', '$.entries', 'an element is under the text of another')
      return state
    },
    add(state, replica, element) {
      const plain = plainValue(element)
      return map.update(state, replica, canonicalJson(plain), () => plain)
    },
    remove: (state, replica, element) => map.remove(state, replica, canonicalJson(plainValue(element))),
    has: (state, element) => map.get(state, canonicalJson(plainValue(element))) !== undefined,
    elements: (state) => map.keys(state).map((key) => map.get(state, key) as T),
  }
}

/** Two live dots of one key hold the same element, so there is nothing to choose. */
const ELEMENT: Mergeable<unknown> = {
  kind: 'element',
  empty: null,
  merge: (a) => a,
  encode: (element) => element,
  decode: (json) => json,
}
