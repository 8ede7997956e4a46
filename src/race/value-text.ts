import { plain } from './returned.ts'

/** A parameter or a column as a person reads it: text in quotes, the rest as JSON, bigints as their digits. */
export function valueText(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  try {
    return JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? item.toString() : item)) ?? 'null'
  } catch {
    return JSON.stringify(plain(value)) ?? 'null'
  }
}
