import { describe, expect, it } from 'vitest'
import { LINGER_MS, PollPace, SILENCE_PART } from '../../src/core/poll-pace.ts'

const bounds = { minMs: 2, maxMs: 2_000 }

/** Runs the pace from look to look until `untilMs`, with messages at the times in `found`; gives the times of the looks. */
function looks(pace: PollPace, untilMs: number, found: (fromMs: number, toMs: number) => boolean): number[] {
  const times: number[] = []
  let lastMs = 0
  for (let nowMs = pace.nextAtMs; nowMs < untilMs; nowMs = pace.nextAtMs) {
    times.push(nowMs)
    pace.looked(found(lastMs, nowMs), nowMs, bounds)
    lastMs = nowMs
  }
  return times
}

describe('poll pace', () => {
  it('serves a trickle with gaps below the lingering at the quickest pace', () => {
    const every = (gapMs: number) => (fromMs: number, toMs: number) =>
      Math.floor(fromMs / gapMs) !== Math.floor(toMs / gapMs)
    for (const gapMs of [5, LINGER_MS / 2]) {
      const times = looks(new PollPace(), 2_000, every(gapMs)).filter((ms) => ms > gapMs * 4)
      const gaps = times.slice(1).map((ms, i) => ms - (times[i] as number))
      expect(Math.max(...gaps)).toBe(bounds.minMs)
    }
  })

  it('never lets what comes after a gap wait longer than a fifth of it, or the longest pause', () => {
    for (const gapMs of [300, 1_000, 5_000, 9_000, 60_000]) {
      const pace = new PollPace()
      pace.looked(true, 0, bounds)
      const times = looks(pace, 2 * gapMs + bounds.maxMs, () => false)
      const seenAtMs = times.find((ms) => ms >= gapMs) as number
      expect(seenAtMs - gapMs).toBeLessThanOrEqual(Math.min(bounds.maxMs, gapMs / SILENCE_PART))
    }
  })

  it('looks at the longest pause once the silence is five times that, after few looks', () => {
    const pace = new PollPace()
    pace.looked(true, 0, bounds)
    const times = looks(pace, 60_000, () => false)
    const quick = times.filter((ms) => ms < LINGER_MS)
    expect(quick.length).toBe(LINGER_MS / bounds.minMs - 1)
    const between = times.filter((ms) => ms >= LINGER_MS && ms < SILENCE_PART * bounds.maxMs)
    expect(between.length).toBeLessThan(25)
    const slow = times.filter((ms) => ms >= SILENCE_PART * bounds.maxMs)
    for (const [i, ms] of slow.slice(1).entries()) expect(ms - (slow[i] as number)).toBeCloseTo(bounds.maxMs)
  })

  it('takes the start for something found, without the quick pace', () => {
    const pace = new PollPace()
    pace.looked(false, 1_000_000, bounds)
    expect(pace.pauseMs).toBe(LINGER_MS / SILENCE_PART)
  })

  it('looks at once when told', () => {
    const pace = new PollPace()
    pace.looked(false, 1_000, bounds)
    expect(pace.nextAtMs).toBeGreaterThan(1_000)
    pace.lookNow()
    expect(pace.nextAtMs).toBeLessThanOrEqual(1_000)
  })
})
