import { describe, expect, it } from 'vitest'
import { retryAfterMs } from '../../src/participant/http/retry-after.ts'

const NOW = Date.parse('Sun, 06 Nov 1994 08:49:30 GMT')
const waits = (headers: Record<string, string>) => retryAfterMs(new Headers(headers), NOW)

describe('Retry-After', () => {
  it.each([
    ['120', 120_000],
    ['0', 0],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 7_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 7_000],
    ['Sun Nov  6 08:49:37 1994', 7_000],
    ['Sun, 06 Nov 1994 08:49:00 GMT', 0],
  ])('"%s" is %i ms', (text, ms) => {
    expect(waits({ 'retry-after': text })).toBe(ms)
  })

  it.each(['', '-1', '1.5', '1e3', 'soon', '2027-01-01', '0x10', 'Sun, nonsense GMT', '12345678901'])(
    '"%s" says nothing',
    (text) => {
      expect(waits({ 'retry-after': text })).toBeUndefined()
    },
  )

  it('a date is taken from the Date of the answer, whatever our own clock says', () => {
    const date = 'Tue, 01 Jan 2030 00:00:00 GMT'
    expect(waits({ 'retry-after': 'Tue, 01 Jan 2030 00:00:05 GMT', date })).toBe(5_000)
  })
})
