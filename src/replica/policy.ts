import type { Mergeable, ReplicaId, Stamp } from '../causality/index.ts'
import { compareStamps, decodeStamp } from '../causality/index.ts'
import { MergeFunctionError } from './errors.ts'
import type { RecordState } from './record.ts'

/** One version of a record that no other write has replaced. */
export interface Version<T = unknown> {
  /** Where it was written. */
  readonly replica: ReplicaId
  readonly count: number
  /** When, on that replica's hybrid clock. */
  readonly at: Stamp
  readonly deleted: boolean
  /** Undefined when it deletes. */
  readonly value: T | undefined
}

/**
 * Your own merge: the value that two or more versions make together, in the order of replica and count. None of them
 * deletes. It must depend on nothing but its argument; it need not be commutative or associative.
 */
export type MergeFunction<T> = (versions: readonly Version<T>[]) => T

// biome-ignore lint/suspicious/noExplicitAny: a Mergeable takes and gives its state, so only `any` stands for all of them
export type MergePolicy<T = any> = 'last-writer-wins' | 'multi-value' | Mergeable<T> | MergeFunction<T>

/** How a record reads under its policy. */
export interface Reading<T = unknown> {
  readonly exists: boolean
  /** The value the policy gives. Undefined where there is none, and with `multi-value` while there are several. */
  readonly value: T | undefined
  /** The values that stand beside one another: several only with `multi-value`. */
  readonly values: readonly T[]
  /** Everything that no other write has replaced, deletions included. */
  readonly versions: readonly Version<T>[]
}

/** For messages and stored conflicts. */
export function nameOfPolicy(policy: MergePolicy): string {
  if (typeof policy === 'string') return policy
  return typeof policy === 'function' ? 'own' : policy.kind
}

/**
 * Reads the siblings under the policy. Pure, and the same at every replica that has the same siblings.
 * @throws MergeFunctionError when your own function throws; PayloadError for a state that its kind does not know
 */
export function readRecord<T>(state: RecordState, policy: MergePolicy<T>): Reading<T> {
  const versions = versionsOf(state, policy)
  const kept = versions.filter((version) => !version.deleted)
  if (policy === 'last-writer-wins') {
    const last = latest(versions)
    return last === undefined || last.deleted ? absent(versions) : one(last.value as T, versions)
  }
  const [first] = kept
  if (first === undefined) return absent(versions)
  if (policy === 'multi-value' && kept.length > 1) {
    return { exists: true, value: undefined, values: kept.map(({ value }) => value as T), versions }
  }
  if (kept.length === 1) return one(first.value as T, versions)
  return one(merged(kept, policy as Mergeable<T> | MergeFunction<T>), versions)
}

function merged<T>(kept: readonly Version<T>[], policy: Mergeable<T> | MergeFunction<T>): T {
  if (typeof policy !== 'function') return kept.map(({ value }) => value as T).reduce(policy.merge)
  try {
    return policy(kept)
  } catch (cause) {
    throw new MergeFunctionError({ cause })
  }
}

function versionsOf<T>(state: RecordState, policy: MergePolicy<T>): Version<T>[] {
  return state.alive.map(({ replica, count, value: stored }) => {
    const at = decodeStamp(stored.at)
    if ('deleted' in stored) return { replica, count, at, deleted: true, value: undefined }
    return { replica, count, at, deleted: false, value: decodeValue(policy, stored.value) }
  })
}

/** The latest of the versions; two of one stamp (a replica's id used twice) go by their dot, which no two share. */
function latest<T>(versions: readonly Version<T>[]): Version<T> | undefined {
  let last: Version<T> | undefined
  for (const version of versions) {
    if (last === undefined || compareStamps(version.at, last.at) >= 0) last = version
  }
  return last
}

/** A value as it is stored and sent. */
export function encodeValue<T>(policy: MergePolicy<T>, value: T): unknown {
  return isMergeable(policy) ? policy.encode(value) : value
}

/** @throws PayloadError where the policy is a Mergeable and this is none of its states */
export function decodeValue<T>(policy: MergePolicy<T>, json: unknown): T {
  return isMergeable(policy) ? policy.decode(json) : (json as T)
}

export function isMergeable<T>(policy: MergePolicy<T>): policy is Mergeable<T> {
  return typeof policy === 'object'
}

function absent<T>(versions: readonly Version<T>[]): Reading<T> {
  return { exists: false, value: undefined, values: [], versions }
}

function one<T>(value: T, versions: readonly Version<T>[]): Reading<T> {
  return { exists: true, value, values: [value], versions }
}
