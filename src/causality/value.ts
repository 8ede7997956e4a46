import { encodeJson } from '../core/index.ts'

/** The largest value that a register, a set or a map takes, as JSON. */
const VALUE_BYTES_MAX = 1_048_576

/**
 * The value as its replicas will read it: a copy made of JSON, which the caller cannot change afterwards.
 * @throws PayloadError for what JSON does not hold, and above 1 MiB
 */
export function plainValue<T>(value: T): T {
  return JSON.parse(encodeJson('value to merge', value, VALUE_BYTES_MAX)) as T
}
