import { canonicalJson } from '../../core/index.ts'
import type { Account, Answer, ConformanceClient } from './client.ts'

/** Throws with what was wanted and what came. */
export function same(what: string, got: unknown, want: unknown): void {
  const [g, w] = [canonicalJson(got ?? null), canonicalJson(want ?? null)]
  if (g !== w) throw new Error(`${what}: want ${w}, got ${g}`)
}

export async function accountIs(client: ConformanceClient, want: Account): Promise<void> {
  const { balance, held, applied } = await client.look()
  same('the account', { balance, held, applied }, want)
}

export function isResult(what: string, answer: Answer, result: unknown, repeated: boolean): void {
  same(`${what}: the status`, answer.status, 200)
  same(`${what}: the body`, answer.body, { result })
  same(`${what}: the header holdfast-repeated`, answer.repeated, repeated)
}

export function isError(what: string, answer: Answer, status: number, code: string): void {
  same(`${what}: the status`, answer.status, status)
  same(`${what}: error.code`, answer.body?.error?.code, code)
  if (typeof answer.body.error.message !== 'string') throw new Error(`${what}: error.message is no text`)
  if (!/^application\/json\b/i.test(answer.contentType))
    throw new Error(`${what}: the content type is "${answer.contentType}", want application/json`)
}

export function isFault(what: string, answer: Answer): void {
  if (answer.status < 500 || answer.status > 599)
    throw new Error(`${what}: want a status from 500 to 599, got ${answer.status}`)
}
