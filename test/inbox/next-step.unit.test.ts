import { describe, expect, it } from 'vitest'
import { nextStep } from '../../src/inbox/next-step.ts'

const retry = { attemptsMax: 3, baseMs: 100, capMs: 1_000 }
const clock = { random: () => 0.5 }
const coded = (code: string) => Object.assign(new Error(code), { code })

describe('nextStep', () => {
  it.each([
    [new Error('no'), 1, 0, { kind: 'retry', waitMs: 75 }],
    [new Error('no'), 2, 0, { kind: 'retry', waitMs: 150 }],
    [new Error('no'), 3, 0, { kind: 'dead-letter' }],
    ['not even an error', 1, 0, { kind: 'retry', waitMs: 75 }],
    [undefined, 3, 0, { kind: 'dead-letter' }],
    [coded('MESSAGE_INVALID'), 1, 0, { kind: 'dead-letter' }],
    [coded('TRANSACTION_TIMEOUT'), 3, 0, { kind: 'dead-letter' }],
    // The store's trouble is nobody's attempt, however often it comes.
    [coded('STORE_UNAVAILABLE'), 3, 1, { kind: 'again', waitMs: 75 }],
    [coded('COMMIT_UNKNOWN'), 3, 2, { kind: 'again', waitMs: 150 }],
    [coded('STORE_BUSY'), 1, 50, { kind: 'again', waitMs: 750 }],
    [coded('STALE_EPOCH'), 1, 0, { kind: 'lost' }],
  ])('after %s at attempt %i, troubles %i: %j', (error, attempt, troubles, step) => {
    expect(nextStep({ error, attempt, troubles }, retry, clock)).toEqual(step)
  })
})
