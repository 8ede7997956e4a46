import { type Check, checkArguments, isObject, show } from '../core/index.ts'
import type { CausalOrder } from './order.ts'
import {
  checkVectors,
  type Dot,
  includesDot,
  nextDot,
  type ReplicaId,
  type VersionVector,
} from './version-vector.ts'

/**
 * One version of a value: the event that wrote it, and what its writer had seen.
 *
 * A dotted version vector. Where a version vector of servers makes two clients that write through one server look like
 * one after the other, the dot stands apart from what had been seen, so the two versions stay concurrent.
 * @see Preguiça, Baquero, Almeida, Fonte, Gonçalves 2010, Dotted Version Vectors
 */
export interface DottedVersion {
  readonly dot: Dot
  readonly past: VersionVector
}

/**
 * The version that `replica` writes for someone who had seen `past`; `known` is all that the replica has seen, so that
 * the dot is new. @throws ConfigError for a bad name
 */
export function dottedVersion(
  replica: ReplicaId,
  seen: { past: VersionVector; known: VersionVector },
): DottedVersion {
  checkArguments('dottedVersion', isObject('the second argument', seen))
  const { past, known } = seen
  checkVectors(past, known)
  return { dot: nextDot(known, replica), past }
}

/** What `a` is to `b`: one comparison each way, however many replicas there are. */
export function compareVersions(a: DottedVersion, b: DottedVersion): CausalOrder {
  checkArguments('compareVersions', isVersion(a), isVersion(b))
  if (a.dot.replica === b.dot.replica && a.dot.count === b.dot.count) return 'equal'
  if (includesDot(a.past, b.dot)) return 'after'
  return includesDot(b.past, a.dot) ? 'before' : 'concurrent'
}

function isVersion(value: unknown): Check {
  const { dot, past } = (value ?? {}) as Partial<DottedVersion>
  return (
    (typeof dot === 'object' && past instanceof Map) ||
    `a version is what dottedVersion gives, got ${show(value)}`
  )
}
