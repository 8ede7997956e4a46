// What every broker must do, as a suite to run against one.
export {
  type BrokerContractOptions,
  type BrokerServer,
  type BrokerSetup,
  describeBrokerContract,
} from './broker-contract.ts'
// What leases, effects and fences must do on every store.

// Faults by name, at the places between two effects.
export { failpoint, failpointSync } from '../core/failpoint.ts'
export { failpointNames } from '../core/failpoint-names.ts'
export { type BaseUnderTest, describeBaseContract } from './base-contract.ts'
export {
  type ArmedFailpoint,
  type ArmOptions,
  armFailpointsFromEnv,
  type FailpointAction,
  FailpointError,
  failpoints,
} from './failpoints.ts'
// Messages that come twice, late and out of order.
export { type Fault, type FaultyBrokerOptions, faultyBroker } from './faulty-broker.ts'
// What every lock engine must do, and whether what was done under a lock was right.
export { describeLockContract, type LockContractOptions, type LockSetup } from './lock-contract.ts'
export { checkGuardedWrites, checkLockSpans, type GuardedWrite, type LockSpan } from './lock-history.ts'
// Time and randomness in a test's hands.
export { type ManualClock, manualClock } from './manual-clock.ts'
export { type MemoryBroker, memoryBroker, testMessage } from './memory-broker.ts'
// Whether a value of your own merges as it must.
export {
  assertMergeLaws,
  type BrokenLaw,
  brokenMergeLaw,
  brokenMergeRun,
  type FastCheckLike,
  type MergeRun,
  type RunStep,
} from './merge-laws.ts'
// What every HTTP participant must do, in any language.
export { describeParticipantConformance } from './participant-conformance.ts'
// Processes that are killed, frozen and thawed.
export {
  isStopped,
  type KillerOptions,
  killAtRandom,
  type ProcessExit,
  spawnProcess,
  type TestProcess,
} from './process-killer.ts'
export { seededRandom } from './seeded-random.ts'
// What every store must do.
export { describeStoreContract, type StoreUnderTest } from './store-contract.ts'
// A network that misbehaves.
export { type Direction, type TcpProxy, type TcpProxyOptions, tcpProxy } from './tcp-proxy.ts'
export type { TestKit } from './test-kit.ts'
