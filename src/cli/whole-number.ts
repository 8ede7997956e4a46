import { usageError } from './cli-error.ts'
import { type Given, textValue } from './command.ts'

/** How many rows a listing shows at most, whatever is asked for. */
const LIMIT_MAX = 100_000

/** The whole number that an option gives, undefined without it. @throws CliError, usage, with the bounds */
export function wholeNumber(
  given: Given,
  name: string,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined {
  const text = textValue(given, name)
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw usageError(`--${name} must be a whole number from ${min} to ${max}, got "${text}"`)
}

/** `--limit N` of a listing. @throws CliError, usage */
export function readLimit(given: Given, byDefault: number): number {
  return wholeNumber(given, 'limit', { min: 1, max: LIMIT_MAX }) ?? byDefault
}
