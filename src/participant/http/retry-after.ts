/** Delay-seconds, and nothing but digits. */
const SECONDS = /^\d{1,9}$/

/**
 * How long a participant asks to wait: `Retry-After` as seconds, or as a date, whose distance is taken from the answer's
 * own `Date`, so that the difference of two machines' clocks does not count. Undefined when it does not say, or says
 * what cannot be read; 0 for a date that is past. Pure.
 * @see RFC 9110, 10.2.3 Retry-After and 5.6.7 Date/Time Formats (all three of which are read)
 */
export function retryAfterMs(headers: Pick<Headers, 'get'>, nowMs: number): number | undefined {
  const text = headers.get('retry-after')?.trim() ?? ''
  if (SECONDS.test(text)) return Number(text) * 1_000
  const atMs = dateMs(text)
  if (atMs === undefined) return undefined
  return Math.max(0, atMs - (dateMs(headers.get('date') ?? '') ?? nowMs))
}

function dateMs(text: string): number | undefined {
  // Only what begins with the name of a day: `Date.parse` takes nearly anything.
  if (!/^(Mon|Tues?|Wed(nes)?|Thu(rs)?|Fri|Sat(ur)?|Sun)(day)?,? /.test(text)) return undefined
  const ms = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  return Number.isNaN(ms) ? undefined : ms
}
