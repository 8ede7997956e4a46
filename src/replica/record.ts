import { createHash } from 'node:crypto'
import {
  compareStamps,
  decodeStamp,
  encodeStamp,
  encodeVector,
  type MultiValue,
  multiValue,
  nextStamp,
  type ReplicaId,
  type Stamp,
  type VersionVector,
} from '../causality/index.ts'

/** What a write left: a value in its JSON form, or the mark that it deletes. `at` is an encoded stamp. */
export type StoredVersion =
  | { readonly at: string; readonly value: unknown }
  | { readonly at: string; readonly deleted: true }

/**
 * The state of a record, whatever its policy: what has been seen of it, and the versions that no other write has
 * replaced. Equal contexts are equal states.
 */
export type RecordState = MultiValue<StoredVersion>

export const recordState = multiValue<StoredVersion>()

export interface RecordId {
  readonly collection: string
  readonly key: string
}

export interface Write {
  readonly replica: ReplicaId
  readonly nowMs: number
  /** What the writer had seen, within what the record has. Default: all of the record. */
  readonly past?: VersionVector | undefined
  /** Undefined deletes. */
  readonly value: { readonly json: unknown } | undefined
  /** The highest count of `replica` in a record that was pruned: no dot may come twice. */
  readonly countFloor: number
}

/**
 * One write at one replica. Its stamp is above every stamp in the record, so that a write that has seen another one is
 * later than it, whatever the clocks say. Pure.
 */
export function writeRecord(state: RecordState, write: Write): RecordState {
  const { replica, nowMs, value, countFloor, past = state.context } = write
  const at = encodeStamp(nextStamp({ ...lastStamp(state, replica), replica }, nowMs))
  const version: StoredVersion = value === undefined ? { at, deleted: true } : { at, value: value.json }
  return recordState.write(aboveFloor(state, replica, countFloor), replica, version, past)
}

/** A context that has seen the counts that went with pruned records, so that the next dot is above them. */
function aboveFloor(state: RecordState, replica: ReplicaId, floor: number): RecordState {
  if ((state.context.get(replica) ?? 0) >= floor) return state
  return { ...state, context: new Map(state.context).set(replica, floor) }
}

function lastStamp(state: RecordState, replica: ReplicaId): Stamp {
  return state.alive
    .map(({ value }) => decodeStamp(value.at))
    .reduce((last, stamp) => (compareStamps(stamp, last) > 0 ? stamp : last), {
      wallMs: 0,
      logical: 0,
      replica,
    })
}

/** True when nothing but deletions is left of it. */
export function isDead(state: RecordState): boolean {
  return state.alive.every(({ value }) => 'deleted' in value)
}

export const BUCKETS = 256

/** Where the record stands in a comparison of stores, and what its vector adds to the sum there. */
export function digestOf(
  { collection, key }: RecordId,
  context: VersionVector,
): { bucket: number; digest: number } {
  const name = createHash('sha256')
    .update(JSON.stringify([collection, key]))
    .digest()
  const whole = createHash('sha256')
    .update(name)
    .update(JSON.stringify(encodeVector(context)))
    .digest()
  // 40 bits: eight million of them in one bucket stay below 2^63, where SQLite's sum ends
  return { bucket: name[0] as number, digest: whole.readUIntBE(0, 5) }
}

/** A short name for the record, of any length of key: orders messages, and ties a token to its record. */
export function hashOf({ collection, key }: RecordId): string {
  return createHash('sha256')
    .update(JSON.stringify([collection, key]))
    .digest('base64url')
    .slice(0, 16)
}
