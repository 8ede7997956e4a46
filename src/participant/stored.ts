/**
 * What stands in the `result` of a step's row. A result is JSON text, which never begins with `!`; the two other things
 * that a row of a forward phase can be do.
 */
import { encodeJson } from '../core/json.ts'
import { StepRefusedError } from './errors.ts'

/** Left in the place of a step that was undone before it came. */
export const UNDONE_MARK = '!undone'
const REFUSED = '!refused '

const RESULT_LIMIT_BYTES = 1_000_000
const REFUSAL_LIMIT_BYTES = 16_000

export type Stored =
  | { readonly kind: 'result'; readonly text: string | null }
  | { readonly kind: 'undone' }
  | { readonly kind: 'refused'; readonly text: string }

export function readStored(text: string | null): Stored {
  if (text === UNDONE_MARK) return { kind: 'undone' }
  if (text?.startsWith(REFUSED)) return { kind: 'refused', text: text.slice(REFUSED.length) }
  return { kind: 'result', text }
}

/** @throws PayloadError for a result that JSON cannot hold, or of more than 1 000 000 bytes */
export function encodeResult(what: string, result: unknown): string {
  return encodeJson(`result of ${what}`, result, RESULT_LIMIT_BYTES)
}

export function decodeResult(text: string | null): unknown {
  return text === null ? undefined : JSON.parse(text)
}

export function encodeRefusal({ reason, message, details }: StepRefusedError): string {
  return REFUSED + encodeJson('refusal of a step', { reason, message, details }, REFUSAL_LIMIT_BYTES)
}

export function decodeRefusal(text: string): StepRefusedError {
  const { reason, ...rest } = JSON.parse(text) as { reason: string; message: string }
  return new StepRefusedError(reason, { ...rest, repeated: true })
}
