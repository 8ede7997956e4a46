import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  compareStamps,
  decodeStamp,
  encodeStamp,
  hybridClock,
  lastWriterWins,
  nextStamp,
  type Stamp,
} from '../../src/causality/index.ts'
import { manualClock } from '../../src/testing/index.ts'

const stamps: fc.Arbitrary<Stamp> = fc.record({
  wallMs: fc.oneof(
    fc.integer({ min: 0, max: 3 }),
    fc.maxSafeNat().map((n) => n % 2 ** 48),
  ),
  logical: fc.integer({ min: 0, max: 0xffff }),
  replica: fc.constantFrom('a', 'b', 'a-b', 'Ω', '~'),
})

describe('hybrid clocks', () => {
  it('never go back, whatever the machine does and whatever they see', () => {
    const events = fc.oneof(
      fc.record({ jumpToMs: fc.integer({ min: 0, max: 2000 }) }),
      fc.record({
        see: fc.record({ wallMs: fc.integer({ min: 0, max: 2000 }), logical: fc.nat({ max: 9 }) }),
      }),
    )
    fc.assert(
      fc.property(fc.array(events), (list) => {
        let nowMs = 1000
        const clock = hybridClock({
          replica: 'a',
          driftMaxMs: 5000,
          clock: { ...manualClock(), now: () => nowMs },
        })
        let last = clock.tick()
        for (const event of list) {
          let above = last
          if ('jumpToMs' in event) nowMs = event.jumpToMs
          else {
            const remote = { ...event.see, replica: 'b' }
            clock.observe(remote)
            if (compareStamps(remote, above) > 0) above = remote
          }
          const next = clock.tick()
          expect(compareStamps(next, above)).toBe(1)
          expect(compareStamps(next, last)).toBe(1)
          last = next
        }
      }),
    )
  })

  it('stay within the drift bound of the clock that is ahead', () => {
    let nowMs = 10_000
    const clock = hybridClock({
      replica: 'a',
      driftMaxMs: 500,
      clock: { ...manualClock(), now: () => nowMs },
    })
    clock.observe({ wallMs: 10_500, logical: 3, replica: 'b' })
    expect(clock.tick()).toEqual({ wallMs: 10_500, logical: 4, replica: 'a' })
    const before = clock.last
    expect(() => clock.observe({ wallMs: 10_501, logical: 0, replica: 'b' })).toThrow(
      expect.objectContaining({ code: 'CLOCK_DRIFT', outcome: 'not-applied', aheadMs: 501 }),
    )
    expect(clock.last).toBe(before)
    nowMs = 10_501
    clock.observe({ wallMs: 10_501, logical: 0, replica: 'b' })
  })

  it('go on above what was stored before a restart with a clock that was set back', () => {
    const last = { wallMs: 5000, logical: 7, replica: 'a' }
    const clock = hybridClock({ replica: 'a', last, clock: { ...manualClock(), now: () => 10 } })
    expect(clock.tick()).toEqual({ wallMs: 5000, logical: 8, replica: 'a' })
  })

  it('borrow from the next millisecond after 65,536 events in one', () => {
    expect(nextStamp({ wallMs: 7, logical: 0xffff, replica: 'a' }, 7)).toEqual({
      wallMs: 8,
      logical: 0,
      replica: 'a',
    })
  })

  it('refuse unknown options, a bad name and a negative drift', () => {
    expect(() => hybridClock({ replica: '', driftMaxMs: -1, drift: 3 } as never)).toThrow(
      /unknown option "drift".*replica must be.*driftMaxMs must be/,
    )
  })
})

describe('what is no stamp', () => {
  it.each([
    [{ wallMs: Number.NaN }],
    [{ wallMs: -1 }],
    [{ wallMs: 7.5 }],
    [{ wallMs: 2 ** 48 }],
    [{ wallMs: '7' }],
    [{ logical: Number.NaN }],
    [{ logical: 65_536 }],
    [{ replica: '' }],
    [{ replica: undefined }],
  ])('is refused before it gets into a clock, a text or a state: %j', (change) => {
    const bad = { wallMs: 7, logical: 0, replica: 'b', ...change } as Stamp
    const refused = expect.objectContaining({ code: 'PAYLOAD_INVALID' })
    const clock = hybridClock({ replica: 'a', driftMaxMs: 2 ** 30 })
    const before = clock.last
    const status = lastWriterWins<string>()
    expect(() => clock.observe(bad)).toThrow(refused)
    expect(clock.last).toEqual(before)
    expect(() => hybridClock({ replica: 'a', last: bad })).toThrow(refused)
    expect(() => encodeStamp(bad)).toThrow(refused)
    expect(() => status.write(status.empty, bad, 'x')).toThrow(refused)
  })
})

describe('stamps', () => {
  it('sort as text as they compare', () => {
    fc.assert(
      fc.property(stamps, stamps, (a, b) => {
        const [x, y] = [encodeStamp(a), encodeStamp(b)]
        expect(x < y ? -1 : x > y ? 1 : 0).toBe(compareStamps(a, b))
        expect(decodeStamp(x)).toEqual(a)
      }),
    )
  })

  it.each([
    null,
    7,
    '',
    '0-0-a',
    '000000000001-0001-',
    '00000000000G-0001-a',
    '000000000001-00010-a',
    '000000000001-0001-\0',
  ])('refuse %j from outside', (text) => {
    expect(() => decodeStamp(text)).toThrow(expect.objectContaining({ code: 'PAYLOAD_INVALID' }))
  })
})
