import { checkArguments, isFunction, isName, PayloadError } from '../core/index.ts'
import { decodeDots, encodeDots, type LiveDots, mergeDots, withDotAlive } from './live-dots.ts'
import { isKind, type Mergeable, ofStates } from './mergeable.ts'
import { malformed, readMembers, readPairs } from './read.ts'
import {
  bumpVector,
  checkReplica,
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

/** Keys with what is alive under each, and what the whole map has seen. No key is without a live dot. */
export interface ObservedRemoveMap<S> {
  readonly context: VersionVector
  readonly entries: ReadonlyMap<string, LiveDots<S>>
}

export interface ObservedRemoveMapKind<S> extends Mergeable<ObservedRemoveMap<S>> {
  /**
   * Changes the value of `key`, made from the kind's empty state where there was none.
   * @throws ConfigError for a bad replica; PayloadError for a key that is empty, longer than 1,000 characters or no text
   */
  update(
    state: ObservedRemoveMap<S>,
    replica: ReplicaId,
    key: string,
    change: (value: S) => S,
  ): ObservedRemoveMap<S>
  /** Takes the key away as this state has seen it. The same state where there is no such key. */
  remove(state: ObservedRemoveMap<S>, replica: ReplicaId, key: string): ObservedRemoveMap<S>
  /** The merged value, or undefined. */
  get(state: ObservedRemoveMap<S>, key: string): S | undefined
  /** In no order that means anything. */
  keys(state: ObservedRemoveMap<S>): readonly string[]
}

/**
 * The observed-remove map of values that merge: a removal takes away what it has seen, and an update that it has not
 * seen wins over it, whole.
 *
 * Bounds: (keys) × (concurrent updates of a key, usually 1) + (replicas that ever wrote); nothing for removed keys. Each
 * operation copies the map. A counter that was removed and made again while another replica counted on shows, for each
 * replica, the larger of its two counts.
 * @see Almeida, Shoker, Baquero 2018, Delta State Replicated Data Types, section 7.4; Riak's maps
 */
export function observedRemoveMap<S>(values: Mergeable<S>): ObservedRemoveMapKind<S> {
  checkArguments('observedRemoveMap', isKind('values', values))
  const kind = `observed-remove-map of ${values.kind}`
  const mergedValue = (alive: LiveDots<S>): S =>
    alive.length === 1 ? (alive[0] as { value: S }).value : alive.map((dot) => dot.value).reduce(values.merge)
  const made: ObservedRemoveMapKind<S> = {
    kind,
    empty: { context: emptyVector, entries: new Map() },
    merge: mergeMaps,
    compare: (a, b) => compareVectors(a.context, b.context),
    update(state, replica, key, change) {
      checkArguments('observed-remove-map.update', isFunction('change', change))
      checkKey(key)
      const alive = state.entries.get(key)
      const value = change(alive === undefined ? values.empty : mergedValue(alive))
      const dot = nextDot(state.context, replica)
      const entries = new Map(state.entries).set(key, withDotAlive([], { ...dot, value }))
      return { context: withDot(state.context, dot), entries }
    },
    remove(state, replica, key) {
      checkReplica(replica)
      checkKey(key)
      if (!state.entries.has(key)) return state
      const entries = new Map(state.entries)
      entries.delete(key)
      return { context: bumpVector(state.context, replica), entries }
    },
    get(state, key) {
      checkKey(key)
      const alive = state.entries.get(key)
      return alive && mergedValue(alive)
    },
    keys: (state) => [...state.entries.keys()],
    encode: (state) => ({
      context: encodeVector(state.context),
      entries: [...state.entries]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, alive]) => [key, encodeDots(alive, values.encode)]),
    }),
    decode(json) {
      const members = readMembers(kind, json, ['context', 'entries'])
      const context = decodeVector(members.context)
      const entries = new Map<string, LiveDots<S>>()
      for (const [i, [key, dots]] of readPairs(kind, members.entries, '$.entries').entries()) {
        const path = `$.entries[${i}]`
        const named = isName('key', key, KEY_LENGTH_MAX)
        if (named !== true) throw malformed(kind, path, named)
        if (entries.has(key as string)) throw malformed(kind, path, 'the key is there twice')
        const alive = decodeDots(kind, dots, context, values.decode, path)
        if (alive.length === 0) throw malformed(kind, path, 'a key without a live dot')
        entries.set(key as string, alive)
      }
      return { context, entries }
    },
  }
  return ofStates(
    made,
    (state: ObservedRemoveMap<S>) => isVector(state?.context) && state.entries instanceof Map,
  )
}

const KEY_LENGTH_MAX = 1000

function checkKey(key: string): void {
  const named = isName('key', key, KEY_LENGTH_MAX)
  if (named !== true) throw new PayloadError('observed-remove-map', [{ path: '$', message: named }])
}

function mergeMaps<S>(a: ObservedRemoveMap<S>, b: ObservedRemoveMap<S>): ObservedRemoveMap<S> {
  switch (compareVectors(a.context, b.context)) {
    case 'before':
      return b
    case 'after':
    case 'equal':
      return a
  }
  const entries = new Map<string, LiveDots<S>>()
  const keep = (key: string, aDots: LiveDots<S>, bDots: LiveDots<S>): void => {
    const alive = mergeDots(aDots, a.context, bDots, b.context)
    if (alive.length > 0) entries.set(key, alive)
  }
  for (const [key, dots] of a.entries) keep(key, dots, b.entries.get(key) ?? [])
  for (const [key, dots] of b.entries) if (!a.entries.has(key)) keep(key, [], dots)
  return { context: mergeVectors(a.context, b.context), entries }
}
