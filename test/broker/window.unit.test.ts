import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Entry, Window } from '../../src/broker/store-queue/window.ts'

describe('window of a subscription', () => {
  it('has its cursor at the oldest message that was not acknowledged', () => {
    const window = new Window(5n)
    const [a, b, c] = [window.add(5n), window.add(6n), window.add(9n)] as [Entry, Entry, Entry]
    window.settle(b, 'acknowledged')
    expect([window.cursor, window.next, window.open]).toEqual([5n, 10n, 2])
    window.settle(a, 'acknowledged')
    expect(window.cursor).toBe(9n)
    window.settle(c, 'released')
    expect([window.cursor, window.open, window.size]).toEqual([9n, 0, 1])
  })

  it('counts the first settlement of a message only', () => {
    const window = new Window(0n)
    const entry = window.add(0n)
    window.settle(entry, 'released')
    window.settle(entry, 'acknowledged')
    expect([window.cursor, window.open]).toEqual([0n, 0])
  })

  it('agrees with a naive list, whatever is settled in whatever order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(300), fc.boolean()), { maxLength: 400 }),
        (steps) => {
          const window = new Window(0n)
          const all: Entry[] = []
          let offset = 0n
          for (const [gap, pick, acknowledge] of steps) {
            offset += BigInt(gap)
            all.push(window.add(offset))
            const entry = all[pick % all.length] as Entry
            window.settle(entry, acknowledge ? 'acknowledged' : 'released')
            const first = all.find((e) => e.state !== 'acknowledged')
            expect(window.cursor).toBe(first?.offset ?? offset + 1n)
            expect(window.open).toBe(all.filter((e) => e.state === 'open').length)
          }
        },
      ),
    )
  })
})
