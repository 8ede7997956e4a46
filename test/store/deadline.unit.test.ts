import { AsyncLocalStorage } from 'node:async_hooks'
import { afterEach, expect, it, onTestFinished, vi } from 'vitest'
import { Deadline } from '../../src/store/deadline.ts'
import { timersOf } from '../support/timers.ts'
import { until } from '../support/wait.ts'

afterEach(() => {
  vi.useRealTimers()
})

function deadline(ms: number, caller?: AbortSignal): Deadline {
  const made = new Deadline(ms, () => 'time is up', caller)
  onTestFinished(() => made.clear())
  return made
}

it('is given a timer when it has lived for a while, and not before', async () => {
  const timers = timersOf(60_001)
  const old = deadline(60_001)
  for (let i = 0; i < 100; i++) new Deadline(60_001, () => 'never', undefined).clear()
  const cleared = deadline(60_001)
  deadline(60_001)
  cleared.clear()
  expect(timers.made()).toBe(0)
  await until(() => timers.running() === 2)
  old.clear()
  expect(timers.running()).toBe(1)
})

it('fires in its time, whether it is short or long', async () => {
  for (const ms of [20, 1_000]) {
    const began = performance.now()
    const one = deadline(ms)
    await expect(one.race(new Promise(() => {}))).rejects.toBe('time is up')
    expect(performance.now() - began).toBeGreaterThanOrEqual(ms - 2)
    expect(one.fired).toBe(true)
  }
})

it('with timers that a test replaced, has one of its own from the start', () => {
  vi.useFakeTimers()
  const one = deadline(60_000)
  vi.advanceTimersByTime(59_999)
  expect(one.fired).toBe(false)
  vi.advanceTimersByTime(1)
  expect(one.fired).toBe(true)
})

it('calls who listens to its signal in the context in which that was asked for', async () => {
  const context = new AsyncLocalStorage<string>()
  context.run('of another', () => deadline(60_000))
  const seen = await context.run('mine', () => {
    const { signal } = deadline(1_000)
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(context.getStore())))
  })
  expect(seen).toBe('mine')
})

it("the caller's signal ends it at once, also when that has fired before", async () => {
  const abort = new AbortController()
  const one = deadline(60_000, abort.signal)
  const racing = one.race(new Promise(() => {}))
  abort.abort('stop')
  await expect(racing).rejects.toBe('stop')
  expect(deadline(60_000, abort.signal)).toMatchObject({ fired: true, reason: 'stop' })
})
