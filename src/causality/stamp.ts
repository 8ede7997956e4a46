import { isName } from '../core/index.ts'
import { malformed } from './read.ts'
import type { ReplicaId } from './version-vector.ts'

/**
 * An instant of a hybrid logical clock: near the wall clock, never before an instant that its replica had seen.
 * If one event can have caused another, its stamp is the smaller one; the reverse does not follow.
 * @see Kulkarni, Demirbas, Madappa, Avva, Leone 2014, Logical Physical Clocks
 */
export interface Stamp {
  /** Milliseconds since 1970, 0 to 2^48 - 1. */
  readonly wallMs: number
  /** Counts the events within one millisecond, 0 to 65535. */
  readonly logical: number
  readonly replica: ReplicaId
}

export const WALL_MS_MAX = 2 ** 48 - 1
export const LOGICAL_MAX = 0xffff

/** Total: by time, then count, then the name of the replica. 0 only for the same stamp. */
export function compareStamps(a: Stamp, b: Stamp): -1 | 0 | 1 {
  assertStamp(a)
  assertStamp(b)
  if (a.wallMs !== b.wallMs) return a.wallMs < b.wallMs ? -1 : 1
  if (a.logical !== b.logical) return a.logical < b.logical ? -1 : 1
  if (a.replica !== b.replica) return a.replica < b.replica ? -1 : 1
  return 0
}

/** `0190a1b2c3d4-0007-berlin`: text that sorts as the stamps do, by code units. @throws PayloadError for what is no stamp */
export function encodeStamp(stamp: Stamp): string {
  assertStamp(stamp)
  return `${hex(stamp.wallMs, 12)}-${hex(stamp.logical, 4)}-${stamp.replica}`
}

/** @throws PayloadError for any text that `encodeStamp` does not give */
export function decodeStamp(text: unknown): Stamp {
  const parts = typeof text === 'string' ? /^([0-9a-f]{12})-([0-9a-f]{4})-(.+)$/s.exec(text) : null
  const [, wall, logical, replica] = parts ?? []
  if (wall === undefined || logical === undefined || isName('replica', replica) !== true)
    throw malformed(
      'stamp',
      '$',
      'must be 12 hex digits, 4 hex digits and the name of a replica, with dashes between',
    )
  return {
    wallMs: Number.parseInt(wall, 16),
    logical: Number.parseInt(logical, 16),
    replica: replica as string,
  }
}

/**
 * A stamp of one's own making, with half a millisecond or NaN in it, has no text that can be read back, and NaN is neither
 * before nor after anything: it must not get into a state.
 * @throws PayloadError
 */
export function assertStamp(stamp: Stamp): void {
  const { wallMs, logical, replica } = stamp ?? {}
  if (!isWhole(wallMs, WALL_MS_MAX))
    throw malformed('stamp', '$.wallMs', 'must be whole milliseconds from 0 to 2^48 - 1')
  if (!isWhole(logical, LOGICAL_MAX))
    throw malformed('stamp', '$.logical', 'must be a whole number from 0 to 65535')
  const named = isName('replica', replica)
  if (named !== true) throw malformed('stamp', '$.replica', named)
}

function isWhole(value: unknown, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}
