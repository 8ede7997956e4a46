import { manualClock, seededRandom } from 'holdfast/testing'
import { describe, expect, it } from 'vitest'

describe('manualClock', () => {
  it('wakes sleepers in order of their time, those too that begin to sleep on the way', async () => {
    const clock = manualClock({ nowMs: 1_000 })
    const woken: string[] = []
    const sleep = async (name: string, ms: number) => {
      await clock.sleep(ms)
      woken.push(`${name}@${clock.monotonic()}/${clock.now()}`)
    }
    void sleep('late', 30)
    void sleep('early', 10).then(() => sleep('second', 10))
    expect(clock.sleeping).toBe(2)
    await clock.advance(25)
    expect(woken).toEqual(['early@10/1010', 'second@20/1020'])
    await clock.advance(5)
    expect(woken.at(-1)).toBe('late@30/1030')
    expect(clock.sleeping).toBe(0)
  })

  it('rejects a sleep with the reason of its signal', async () => {
    const clock = manualClock()
    const controller = new AbortController()
    const sleeping = clock.sleep(10, controller.signal)
    controller.abort(new Error('enough'))
    await expect(sleeping).rejects.toThrow('enough')
    await expect(clock.sleep(10, controller.signal)).rejects.toThrow('enough')
    expect(clock.sleeping).toBe(0)
  })

  it('jumps the wall clock without moving durations', async () => {
    const clock = manualClock({ nowMs: 1_000 })
    clock.jump(-500)
    expect([clock.now(), clock.monotonic()]).toEqual([500, 0])
    await clock.advance(10)
    expect([clock.now(), clock.monotonic()]).toEqual([510, 10])
  })

  it('refuses to go back', async () => {
    await expect(manualClock().advance(-1)).rejects.toThrow(
      'ms must be a number of milliseconds, 0 or more, got -1',
    )
  })
})

describe('seededRandom', () => {
  it('repeats for a seed, differs between seeds, and stays in [0, 1)', () => {
    const take = (seed: number) => {
      const random = seededRandom(seed)
      return Array.from({ length: 1_000 }, random)
    }
    expect(take(7)).toEqual(take(7))
    expect(take(7)).not.toEqual(take(8))
    const mean = take(7).reduce((a, b) => a + b) / 1_000
    expect(mean).toBeGreaterThan(0.45)
    expect(mean).toBeLessThan(0.55)
    expect(take(0).every((n) => n >= 0 && n < 1)).toBe(true)
  })
})
