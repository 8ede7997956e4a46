import { ConfigError } from './errors.ts'

/** `true`, or the sentence that says what is wrong. */
export type Check = true | string

/** The options that mean the same wherever they are taken, so that each is checked here. */
const COMMON: ReadonlyMap<string, (name: string, value: unknown) => Check> = new Map([
  ['signal', (name, value) => hasMethods(name, value, 'an AbortSignal', 'addEventListener')],
  [
    'log',
    (name, value) => hasMethods(name, value, 'a log, as console is one', 'debug', 'info', 'warn', 'error'),
  ],
  ['clock', (name, value) => hasMethods(name, value, 'a clock', 'now', 'monotonic', 'sleep', 'random')],
  ['headers', isObject],
  ['fetch', isFunction],
  ['random', isFunction],
  ['expired', isFunction],
])

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
    if (!known.includes(key)) {
      problems ??= []
      problems.push(`unknown option "${key}" (known: ${known.join(', ')})`)
    }
    const common = COMMON.get(key)
    if (common === undefined) continue
    const value = (given as Record<string, unknown>)[key]
    const fits = value === undefined || common(key, value)
    if (fits === true) continue
    problems ??= []
    problems.push(fits)
  }
  for (const check of checks) {
    if (check === true) continue
    problems ??= []
    problems.push(check)
  }
  if (problems !== undefined) throw new ConfigError(subject, problems)
}

/** Refuses arguments that cannot be what they are for, all at once and before a property of one is read. */
export function checkArguments(subject: string, ...checks: readonly Check[]): void {
  for (const check of checks) if (check !== true) throw new ConfigError(subject, checks.filter(isProblem))
}

/** The options of a call, `undefined` for none, when they can be options at all. */
export function optionsOf<T extends object>(subject: string, given: T): T {
  checkArguments(subject, isObject('options', given))
  return given
}

function isProblem(check: Check): check is string {
  return check !== true
}

/** Something with properties by name: no list, and no function. */
export function isObject(name: string, value: unknown): Check {
  return (
    (typeof value === 'object' && value !== null && !Array.isArray(value)) ||
    `${name} must be an object, got ${show(value)}`
  )
}

export function isList(name: string, value: unknown): Check {
  return Array.isArray(value) || `${name} must be an array, got ${show(value)}`
}

export function isFunction(name: string, value: unknown): Check {
  return typeof value === 'function' || `${name} must be a function, got ${show(value)}`
}

/** A text of any length, empty too. */
export function isText(name: string, value: unknown): Check {
  return typeof value === 'string' || `${name} must be a string, got ${show(value)}`
}

/** An absolute address. */
export function isUrl(name: string, value: unknown): Check {
  const fits = (typeof value === 'string' || value instanceof URL) && URL.canParse(String(value))
  return fits || `${name} must be an absolute URL, got ${show(value)}`
}

export function isBytes(name: string, value: unknown): Check {
  return value instanceof Uint8Array || `${name} must be a Uint8Array, got ${show(value)}`
}

/** A schema of zod, valibot, arktype or any other library that has the Standard Schema form. */
export function isSchema(name: string, value: unknown): Check {
  const { validate } =
    (value as Record<string, { validate?: unknown } | undefined> | null)?.['~standard'] ?? {}
  return typeof validate === 'function' || `${name} must have the Standard Schema form, got ${show(value)}`
}

/** Something of another part or of a driver, known by its methods and not by its class: two copies of a package can meet. */
export function hasMethods(name: string, value: unknown, what: string, ...methods: readonly string[]): Check {
  const missing =
    value === undefined || value === null
      ? methods
      : methods.filter((method) => typeof (value as Record<string, unknown>)[method] !== 'function')
  if (missing.length === 0) return true
  const lacking = typeof value === 'object' && value !== null ? ` without ${missing.join('() and ')}()` : ''
  return `${name} must be ${what}, got ${show(value)}${lacking}`
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

/** A relation between two options; where one of them is no number, that is told by another check. */
export function isAtMost(name: string, value: unknown, maxName: string, max: unknown): Check {
  const related = typeof value !== 'number' || typeof max !== 'number' || value <= max
  return related || `${name} (${value}) must be at most ${maxName} (${max})`
}

/** One of a few words. */
export function isOneOf(name: string, value: unknown, words: readonly string[]): Check {
  return words.some((word) => word === value) || `${name} must be ${words.join(' or ')}, got ${show(value)}`
}

export function isBoolean(name: string, value: unknown): Check {
  return typeof value === 'boolean' || `${name} must be true or false, got ${show(value)}`
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

/** A value in an error's words. Never its contents, and it never throws: an object may have no text. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40))
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'function') return 'a function'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
