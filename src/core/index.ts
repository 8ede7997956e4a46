export { anySignal, orAbort, throwIfAborted } from './abort.ts'
export { type Background, Bell, drainMsOf } from './background.ts'
export { type Backoff, backoffMs } from './backoff.ts'
export { type Clock, systemClock } from './clock.ts'
export { COMPANIONS, type Companions } from './companions.ts'
export {
  ConfigError,
  HoldfastError,
  isHoldfastError,
  type Outcome,
  PayloadError,
  UnsupportedError,
} from './errors.ts'
export { type FailpointHook, failpoint, failpointSync, setFailpointHook } from './failpoint.ts'
export { canonicalJson, encodeJson } from './json.ts'
export { type Log, silentLog } from './log.ts'
export {
  type Check,
  checkArguments,
  checkOptions,
  hasMethods,
  isCount,
  isDuration,
  isDurationOrZero,
  isFunction,
  isList,
  isName,
  isObject,
  isText,
  optionsOf,
  show,
} from './options.ts'
export {
  checkSchema,
  type SchemaInput,
  type SchemaOutput,
  type StandardIssue,
  type StandardResult,
  type StandardSchemaV1,
} from './standard-schema.ts'
