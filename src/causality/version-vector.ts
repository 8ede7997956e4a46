import { type Check, ConfigError, checkArguments, isCount, isName, isObject, show } from '../core/index.ts'
import { type CausalOrder, orderOf } from './order.ts'
import { malformed, readPairs } from './read.ts'

/** The name of one place that writes. Never two writers under one name, nor one that forgot its writes. */
export type ReplicaId = string

/** One event: the `count`-th of this replica, counted from 1. */
export interface Dot {
  readonly replica: ReplicaId
  readonly count: number
}

/**
 * What has been seen: of each replica, all events up to a count. A replica that is not named has count 0.
 *
 * Bounds: one entry for each replica that ever wrote; counts up to 2^53 - 1.
 * @see Parker et al. 1983, Detection of Mutual Inconsistency in Distributed Systems
 */
export type VersionVector = ReadonlyMap<ReplicaId, number>

/** Nothing seen. */
export const emptyVector: VersionVector = new Map()

/** What `a` is to `b`. */
export function compareVectors(a: VersionVector, b: VersionVector): CausalOrder {
  checkVectors(a, b)
  if (a === b) return 'equal'
  return orderOf(exceeds(a, b), exceeds(b, a))
}

/** Everything that either has seen. The same object as one of them where that one has seen it all. */
export function mergeVectors(a: VersionVector, b: VersionVector): VersionVector {
  checkVectors(a, b)
  if (!exceeds(b, a)) return a
  if (!exceeds(a, b)) return b
  const merged = new Map(a)
  for (const [replica, count] of b) if (count > (a.get(replica) ?? 0)) merged.set(replica, count)
  return merged
}

/** True when the event has been seen. */
export function includesDot(vector: VersionVector, dot: Dot): boolean {
  checkVectors(vector, vector)
  if (typeof dot?.count !== 'number')
    checkArguments(
      'version vector',
      isObject('dot', dot),
      isCount('dot.count', dot?.count, 0, Number.MAX_SAFE_INTEGER),
    )
  return dot.count <= (vector.get(dot.replica) ?? 0)
}

/** The replica's next event after what `vector` has seen of it. @throws ConfigError for a bad name, and after 2^53 - 1 */
export function nextDot(vector: VersionVector, replica: ReplicaId): Dot {
  checkVectors(vector, vector)
  checkReplica(replica)
  const count = (vector.get(replica) ?? 0) + 1
  if (count > Number.MAX_SAFE_INTEGER)
    throw new ConfigError('version vector', [`${JSON.stringify(replica)} has counted to 2^53 - 1`])
  return { replica, count }
}

/** The vector with this event, and all before it, seen. */
export function withDot(vector: VersionVector, dot: Dot): VersionVector {
  return includesDot(vector, dot) ? vector : new Map(vector).set(dot.replica, dot.count)
}

/** The vector after one more event of `replica`. @throws ConfigError for a bad name */
export function bumpVector(vector: VersionVector, replica: ReplicaId): VersionVector {
  return withDot(vector, nextDot(vector, replica))
}

/** JSON pairs in the order of the names, so that equal vectors have equal text. */
export function encodeVector(vector: VersionVector): [ReplicaId, number][] {
  checkVectors(vector, vector)
  return [...vector].sort(([a], [b]) => (a < b ? -1 : 1))
}

/** @throws PayloadError unless it is what `encodeVector` gives: names in order, none twice, counts from 1 to 2^53 - 1 */
export function decodeVector(json: unknown): VersionVector {
  const pairs = readPairs('version vector', json)
  const vector = new Map<ReplicaId, number>()
  let last: string | undefined
  for (const [i, [replica, count]] of pairs.entries()) {
    const path = `$[${i}]`
    const named = isName('replica', replica)
    if (named !== true) throw malformed('version vector', path, named)
    if (!Number.isSafeInteger(count) || (count as number) < 1)
      throw malformed('version vector', path, 'a count is a whole number from 1 to 2^53 - 1')
    if (last !== undefined && !(last < (replica as string)))
      throw malformed('version vector', path, 'names must be in order, each once')
    last = replica as string
    vector.set(last, count as number)
  }
  return vector
}

/** @throws ConfigError unless it is a name of 1 to 200 characters */
export function checkReplica(replica: unknown): asserts replica is ReplicaId {
  const named = isName('replica', replica)
  if (named !== true) throw new ConfigError('version vector', [named])
}

/** Callers without types; an array has `entries` too, and would be read as an empty vector. @throws ConfigError */
export function checkVectors(a: unknown, b: unknown): void {
  if (isVector(a) && isVector(b)) return
  checkArguments('version vector', checkVector(a), checkVector(b))
}

export function isVector(value: unknown): value is VersionVector {
  return value instanceof Map
}

function checkVector(value: unknown): Check {
  return (
    isVector(value) || `a version vector is a Map, as emptyVector and decodeVector give, got ${show(value)}`
  )
}

/** True when `a` has seen an event that `b` has not. */
function exceeds(a: VersionVector, b: VersionVector): boolean {
  for (const [replica, count] of a) if (count > (b.get(replica) ?? 0)) return true
  return false
}
