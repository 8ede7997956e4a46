export { StaleEpochError } from './errors.ts'
export { type PruneOptions, pruneEffects } from './prune.ts'
export {
  type EffectKey,
  type EffectOptions,
  type EffectsOptions,
  type LeaseEpoch,
  type Recorded,
  type RecordedEffects,
  recordEffect,
  recordEffects,
  type StoredEffect,
} from './record.ts'
export { once, storeEffectResult } from './result.ts'
export { effectTables } from './tables.ts'
