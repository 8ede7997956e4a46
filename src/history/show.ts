import { canonical } from '../core/canonical.ts'

/** How a value is shown to a person. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return 'nil'
  const text = typeof value === 'string' ? value : canonical(value)
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}
