import { ConfigError } from './errors.ts'

/** `true`, or the sentence that says what is wrong. */
export type Check = true | string

/** Reports every problem at once, unknown keys included, and returns normally when there is none. */
export function checkOptions(
  subject: string,
  given: object,
  known: readonly string[],
  checks: readonly Check[],
): void {
  // Nothing is made unless there is a problem: options are checked on every call.
  let problems: string[] | undefined
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue
    problems ??= []
    problems.push(`unknown option "${key}" (known: ${known.join(', ')})`)
  }
  for (const check of checks) {
    if (check === true) continue
    problems ??= []
    problems.push(check)
  }
  if (problems !== undefined) throw new ConfigError(subject, problems)
}

/** A finite number of milliseconds above zero and at most 2^31 - 1, the longest that a timer can wait. */
export function isDuration(name: string, value: unknown): Check {
  return (
    (typeof value === 'number' && value > 0 && value <= 2_147_483_647) ||
    `${name} must be a number of milliseconds above 0 and at most 2147483647, got ${show(value)}`
  )
}

/** Like `isDuration`, zero allowed. */
export function isDurationOrZero(name: string, value: unknown): Check {
  return (
    value === 0 ||
    isDuration(name, value) === true ||
    `${name} must be a number of milliseconds from 0 to 2147483647, got ${show(value)}`
  )
}

/** An age in milliseconds: 0 or more, as long as you like, since no timer waits for it. */
export function isAge(name: string, value: unknown): Check {
  return (
    (Number.isFinite(value) && (value as number) >= 0) ||
    `${name} must be a number of milliseconds, 0 or more, got ${show(value)}`
  )
}

const TOKEN_END = 2n ** 63n

/** A fencing token or an epoch: a whole number that a 64-bit column holds. */
export function isToken(name: string, value: unknown): Check {
  return (
    (typeof value === 'bigint' && value >= 0n && value < TOKEN_END) ||
    `${name} must be a bigint from 0 to 2^63 - 1, got ${typeof value === 'bigint' ? value : typeof value}`
  )
}

export function isCount(name: string, value: unknown, min: number, max: number): Check {
  return (
    (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) ||
    `${name} must be a whole number from ${min} to ${max}, got ${show(value)}`
  )
}

/**
 * A name that is stored: topic, group, scope. Quotes and any script are fine, since names travel as parameters;
 * a NUL is not (PostgreSQL cannot store it), nor is an unpaired surrogate (no UTF-8 form).
 */
export function isName(name: string, value: unknown, lengthMax = 200): Check {
  if (typeof value !== 'string' || value.length === 0)
    return `${name} must be a non-empty string, got ${show(value)}`
  if (value.length > lengthMax)
    return `${name} must have at most ${lengthMax} characters, got ${value.length}`
  if (value.includes('\0')) return `${name} must not contain a NUL character`
  if (!value.isWellFormed()) return `${name} must not contain an unpaired surrogate`
  return true
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : String(value)
}
