export { IdCounterError, IdExhaustedError, IdInUseError, IdStateError, IdsStoppedError } from './errors.ts'
export { type EtcdCounterClient, type EtcdCounterOptions, etcdCounter } from './etcd-counter.ts'
export { type FeistelKeys, feistel } from './feistel.ts'
export { type FileCounterState, fileCounter, inspectFileCounter } from './file-counter.ts'
export { type IdType, type IdTypeOptions, idType, type TypedId } from './id-type.ts'
export { bigintsAsText } from './json.ts'
export { composeRaw, type IdParts, splitRaw } from './layout.ts'
export {
  type HeldInstance,
  type InstanceSource,
  type LeasedInstanceOptions,
  leasedInstance,
} from './leased-instance.ts'
export { memoryCounter } from './memory-counter.ts'
export { type MultiplicativeKeys, multiplicative } from './multiplicative.ts'
export type { Permutation } from './permutation.ts'
export { type PermutedIds, type PermutedIdsOptions, permutedIds } from './permuted-ids.ts'
export { type RedisCounterClient, type RedisCounterOptions, redisCounter } from './redis-counter.ts'
export type { OpenSource, SequenceSource } from './source.ts'
export { type StoreCounterOptions, storeCounter } from './store-counter.ts'
export { idTables } from './tables.ts'
export { base62, crockford32, decimal, type IdText, type ReadId, readId } from './text.ts'
