export { type CollectionOptions, type Collections, collection, type ValueOf } from './collection.ts'
export type { ConfirmOptions } from './confirm.ts'
export type { Conflict, ConflictFilter, ConflictSide, Decision } from './conflicts.ts'
export { listConflicts, showConflict } from './conflicts.ts'
export {
  MergeFunctionError,
  NotConfirmedError,
  PeerUnavailableError,
  ReplicaBehindError,
  SiblingsError,
  StaleContextError,
} from './errors.ts'
export { answerPeerRequest } from './http/answer-peer.ts'
export {
  answerRecord,
  type RecordAnswer,
  type RecordEndpoint,
  type RecordRequest,
} from './http/answer-record.ts'
export { etagOf, readIfMatch } from './http/etag.ts'
export { type HttpPeerOptions, httpPeer } from './http/http-peer.ts'
export type { PeerStatus } from './members.ts'
export type { Merged } from './merge-incoming.ts'
export type { PeerLink, PeerQuestion } from './peer-link.ts'
export type { MergeFunction, MergePolicy, Reading, Version } from './policy.ts'
export type { PullReport } from './pull.ts'
export type { Found, ReadOptions } from './read.ts'
export { createReplica, type Replica } from './replica.ts'
export type { ReplicaOptions } from './replica-options.ts'
export type { Running, RunningFigures } from './running.ts'
export type { StartOptions } from './start-options.ts'
export { type ReplicaStatus, readReplicaStatus, type Staleness } from './status.ts'
export { replicaTables } from './tables.ts'
export type { Change, WriteOptions } from './write.ts'
