import { canonicalJson } from '../core/index.ts'
import { type Mergeable, ofStates } from './mergeable.ts'
import { readMembers } from './read.ts'
import { assertStamp, compareStamps, decodeStamp, encodeStamp, type Stamp } from './stamp.ts'
import { plainValue } from './value.ts'

/** A value and the instant of its write; null when never written. */
export type LastWriterWins<T> = { readonly stamp: Stamp; readonly value: T } | null

export interface LastWriterWinsKind<T> extends Mergeable<LastWriterWins<T>> {
  /** Writes `value` unless the state holds a later one. @throws PayloadError for what JSON does not hold, above 1 MiB, and for what is no stamp */
  write(state: LastWriterWins<T>, stamp: Stamp, value: T): LastWriterWins<T>
}

/**
 * The register whose latest write wins. Every concurrent write but one is lost, silently: for values of which only the
 * newest matters (a position, a status), not for sums or sets.
 *
 * The order is total: stamp, then, where a name was used twice, the canonical text of the value. Bounds: one stamp.
 * @see Shapiro et al. 2011, section 3.2.1
 */
export function lastWriterWins<T>(): LastWriterWinsKind<T> {
  const merge = (a: LastWriterWins<T>, b: LastWriterWins<T>) => (compareWrites(a, b) < 0 ? b : a)
  const made: LastWriterWinsKind<T> = {
    kind: 'last-writer-wins',
    empty: null,
    merge,
    compare: (a, b) => (['before', 'equal', 'after'] as const)[compareWrites(a, b) + 1] as 'equal',
    write: (state, stamp, value) => {
      assertStamp(stamp)
      return merge(state, { stamp, value: plainValue(value) })
    },
    encode: (state) => state && { stamp: encodeStamp(state.stamp), value: state.value },
    decode(json) {
      if (json === null) return null
      const { stamp, value } = readMembers('last-writer-wins', json, ['stamp', 'value'])
      return { stamp: decodeStamp(stamp), value: value as T }
    },
  }
  return ofStates(made, isRegister)
}

function isRegister(state: LastWriterWins<unknown>): boolean {
  return state === null || (typeof state?.stamp === 'object' && 'value' in state)
}

function compareWrites<T>(a: LastWriterWins<T>, b: LastWriterWins<T>): -1 | 0 | 1 {
  if (a === b) return 0
  if (a === null) return -1
  if (b === null) return 1
  const byStamp = compareStamps(a.stamp, b.stamp)
  if (byStamp !== 0) return byStamp
  const [x, y] = [canonicalJson(a.value), canonicalJson(b.value)]
  return x === y ? 0 : x < y ? -1 : 1
}
