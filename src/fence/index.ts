export { StaleFenceError } from './errors.ts'
export { type FencedLock, type FenceOptions, fence } from './fence.ts'
export {
  FENCING_HEADER,
  type FencingOptions,
  type FencingRequest,
  type FencingResponse,
  FencingTokenError,
  fencingHeader,
  fencingMiddleware,
  readFencingHeader,
} from './http.ts'
export { fenceSql } from './sql.ts'
export { fenceTables } from './tables.ts'
