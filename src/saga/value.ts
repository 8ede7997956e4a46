import * as crypto from 'node:crypto'
import { canonical } from '../core/canonical.ts'
import { PayloadError } from '../core/errors.ts'
import { encodeJson } from '../core/json.ts'

/** The largest input or result, as JSON. */
const VALUE_LIMIT_BYTES = 1_048_576

/**
 * Encodes an input or a result. What JSON would change silently is refused, a Date included: on replay it would be
 * text where the type says Date. `undefined` as the whole value is fine and is stored as nothing.
 * @throws PayloadError, outcome `not-applied`
 */
export function encodeValue(subject: string, value: unknown): string | null {
  switch (typeof value) {
    case 'undefined':
      return null
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      if (value !== null) refuseDates(subject, value, '$', 0)
  }
  return encodeJson(subject, value, VALUE_LIMIT_BYTES)
}

export function decodeValue(text: string | null): unknown {
  return text === null ? undefined : JSON.parse(text)
}

/** The value as a replay will give it: never the caller's own object, which it might go on changing. */
export function asReplayed(value: unknown, text: string | null): unknown {
  return typeof value === 'object' && value !== null ? JSON.parse(text as string) : value
}

/** The same for the same value, in whatever order the members of its objects come: a database may give them in another. */
export function hashOf(text: string | null): string | null {
  if (text === null) return null
  const ordered = text.includes('{') ? canonical(JSON.parse(text)) : text
  return crypto.createHash('sha1').update(ordered).digest('base64url').slice(0, 16)
}

/** Deep enough for anything that encodeJson then refuses with its own words. */
function refuseDates(subject: string, value: object, path: string, depth: number): void {
  if (value instanceof Date) {
    throw new PayloadError(subject, [
      { path, message: 'a Date has no JSON form; send its toISOString() or its number' },
    ])
  }
  if (depth > 200) return
  for (const [name, member] of Object.entries(value)) {
    if (typeof member === 'object' && member !== null) {
      refuseDates(subject, member, Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`, depth + 1)
    }
  }
}
