// Which of two writes saw the other.

// Values that merge.
export { type GrowCounter, growCounter, type UpDownCounter, upDownCounter } from './counters.ts'
export { compareVersions, type DottedVersion, dottedVersion } from './dotted-version.ts'
// Time that follows cause.
export {
  ClockDriftError,
  type HybridClock,
  type HybridClockOptions,
  hybridClock,
  nextStamp,
} from './hybrid-clock.ts'
export { type LastWriterWins, type LastWriterWinsKind, lastWriterWins } from './last-writer-wins.ts'
export { type Mergeable, type MergeableOptions, mergeable, sameState } from './mergeable.ts'
export { type MultiValue, type MultiValueKind, multiValue } from './multi-value.ts'
export {
  type ObservedRemoveMap,
  type ObservedRemoveMapKind,
  observedRemoveMap,
} from './observed-remove-map.ts'
export {
  type ObservedRemoveSet,
  type ObservedRemoveSetKind,
  observedRemoveSet,
} from './observed-remove-set.ts'
export type { CausalOrder } from './order.ts'
export { compareStamps, decodeStamp, encodeStamp, type Stamp } from './stamp.ts'
export {
  bumpVector,
  compareVectors,
  type Dot,
  decodeVector,
  emptyVector,
  encodeVector,
  includesDot,
  mergeVectors,
  nextDot,
  type ReplicaId,
  type VersionVector,
} from './version-vector.ts'
