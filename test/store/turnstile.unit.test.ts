import { describe, expect, it } from 'vitest'
import { expiryOf } from '../../src/store/deadline.ts'
import { Turnstile } from '../../src/store/turnstile.ts'

/** Everyone who waits, in the order in which they are let in. */
function queue(turnstile: Turnstile): {
  come(name: string, urgent?: boolean, signal?: AbortSignal): void
  let: string[]
} {
  const admitted: string[] = []
  return {
    come: (name, urgent = false, signal) =>
      void turnstile.enter(signal && expiryOf(signal), { urgent }).then(
        (leave) => {
          admitted.push(name)
          leave()
        },
        () => {},
      ),
    let: admitted,
  }
}

describe('a turnstile', () => {
  it('lets the waiting in by order of arrival, the urgent ones first', async () => {
    const turnstile = new Turnstile()
    const leave = await turnstile.enter()
    const waiting = queue(turnstile)
    for (const [name, urgent] of [
      ['a', false],
      ['U', true],
      ['b', false],
      ['V', true],
    ] as const)
      waiting.come(name, urgent)
    await Promise.resolve()
    leave()
    await turnstile.enter()
    expect(waiting.let).toEqual(['U', 'V', 'a', 'b'])
  })

  it('forgets who gives up, urgent or not, and keeps the order of the rest', async () => {
    const turnstile = new Turnstile()
    const leave = await turnstile.enter()
    const waiting = queue(turnstile)
    const [urgent, usual] = [new AbortController(), new AbortController()]
    waiting.come('U', true, urgent.signal)
    waiting.come('a')
    waiting.come('b', false, usual.signal)
    waiting.come('V', true)
    await Promise.resolve()
    urgent.abort()
    usual.abort()
    waiting.come('W', true)
    await Promise.resolve()
    leave()
    await turnstile.enter()
    expect(waiting.let).toEqual(['V', 'W', 'a'])
  })

  it('a place is left once, however often that is said', async () => {
    const turnstile = new Turnstile()
    const leave = await turnstile.enter()
    leave()
    leave()
    expect(turnstile.tryEnter()).toBeTypeOf('function')
    expect(turnstile.tryEnter()).toBeUndefined()
  })
})
