import { describe, expect, it } from 'vitest'
import { LINGER_MS, PollPace } from '../../src/outbox/poll-pace.ts'

const bounds = { minMs: 2, maxMs: 500 }

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

  it('backs off by doubling once the lingering is over, to the longest pause', () => {
    const pace = new PollPace()
    pace.looked(true, 0, bounds)
    const times = looks(pace, 5_000, () => false)
    const quick = times.filter((ms) => ms < LINGER_MS)
    expect(quick.length).toBe(LINGER_MS / bounds.minMs - 1)
    const slow = times.filter((ms) => ms >= 1_500)
    expect(slow.slice(1).map((ms, i) => ms - (slow[i] as number))).toEqual(
      slow.slice(1).map(() => bounds.maxMs),
    )
  })

  it('looks at once when told', () => {
    const pace = new PollPace()
    pace.looked(false, 1_000, bounds)
    expect(pace.nextAtMs).toBe(1_002)
    pace.lookNow()
    expect(pace.nextAtMs).toBeLessThanOrEqual(1_000)
  })
})
