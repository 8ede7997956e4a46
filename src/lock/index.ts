export type { ListenClient, OpenListenClient } from '../store/listener.ts'
export {
  type CampaignOptions,
  type Candidate,
  type Election,
  type ElectionOptions,
  election,
  type Leader,
  type Term,
} from './election.ts'
export type {
  Grant,
  LockAnswer,
  LockEngine,
  LockEntryInfo,
  LockInfo,
  LockMode,
  LockRequest,
} from './engine.ts'
export { LockEngineError, LockLostError, LockNotAcquiredError, LockQueueFullError } from './errors.ts'
export type { ExclusiveLock, HeldLock, LockSet, SemaphorePermit, SharedLock } from './held-lock.ts'
export {
  type AcquireLockOptions,
  createLocks,
  type Locks,
  type LocksOptions,
  type SemaphoreOptions,
  type TryAcquireOptions,
} from './locks.ts'
export { type Owned, type Ownership, type OwnershipOptions, ownership } from './ownership.ts'
export { type StoreLocksOptions, storeLocks } from './store/store-engine.ts'
export { lockTables } from './store/tables.ts'
