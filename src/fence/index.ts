export { StaleFenceError } from './errors.ts'
export { type FenceOptions, fence } from './fence.ts'
export { fenceTables } from './tables.ts'
