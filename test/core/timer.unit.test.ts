import { afterEach, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { after, within } from '../../src/core/timer.ts'
import { timersOf } from '../support/timers.ts'
import { until } from '../support/wait.ts'

afterEach(() => {
  vi.useRealTimers()
})

it('a hundred answers that come at once have no timers of their own', async () => {
  const timers = timersOf(60_001)
  await Promise.all(Array.from({ length: 100 }, () => within(systemClock, 60_001, Promise.resolve())))
  expect(timers.made()).toBe(0)
})

it('an answer that does not come is given up in its time, whether that is short or long', async () => {
  for (const ms of [20, 1_000]) {
    const began = performance.now()
    const never = new Promise(() => {})
    await expect(within(systemClock, ms, never, () => 'time is up')).rejects.toBe('time is up')
    expect(performance.now() - began).toBeGreaterThanOrEqual(ms - 2)
  }
})

it('one that lives longer is given a timer, which goes when it is cancelled', async () => {
  const timers = timersOf(60_001)
  const alarms = [after(systemClock, 60_001, () => {}), after(systemClock, 60_001, () => {})]
  await until(() => timers.running() === 2)
  for (const alarm of alarms) alarm.cancel()
  expect(timers.running()).toBe(0)
})

it('with timers that a test replaced, has one of its own from the start', () => {
  vi.useFakeTimers()
  const act = vi.fn()
  after(systemClock, 60_000, act)
  vi.advanceTimersByTime(59_999)
  expect(act).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(act).toHaveBeenCalled()
})
