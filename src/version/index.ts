export { MergeConflictError, RowNotFoundError, VersionConflictError } from './errors.ts'
export { fulfilsIfMatch, type IfMatch, parseIfMatch, toEtag } from './etag.ts'
export { type MergeFieldsOptions, type MergeOptions, mergeFields, mergeVersioned } from './merge.ts'
export {
  type Changes,
  type Key,
  readVersioned,
  updateVersioned,
  type Version,
  type Versioned,
  type VersionOptions,
} from './version.ts'
