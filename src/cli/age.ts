import { usageError } from './cli-error.ts'

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Reads `90s`, `15m`, `36h` or `7d` as milliseconds. @throws CliError, usage */
export function parseAge(option: string, text: string): number {
  const [, digits, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? []
  const factor = UNITS[unit ?? '']
  if (digits === undefined || factor === undefined) {
    throw usageError(
      `--${option} must be a number and a unit (ms, s, m, h or d) like 90s or 7d, with at most nine digits, got "${text}"`,
    )
  }
  return Number(digits) * factor
}

/** A duration for people: the largest unit that keeps two digits or more of meaning. */
export function printAge(ms: number): string {
  const sign = ms < 0 ? '-' : ''
  const n = Math.abs(ms)
  if (n < 1_000) return `${sign}${Math.round(n)} ms`
  if (n < 120_000) return `${sign}${(n / 1_000).toFixed(n < 10_000 ? 1 : 0)} s`
  if (n < 7_200_000) return `${sign}${Math.round(n / 60_000)} min`
  if (n < 172_800_000) return `${sign}${Math.round(n / 3_600_000)} h`
  return `${sign}${Math.round(n / 86_400_000)} d`
}
