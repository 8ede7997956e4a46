import type { Clock } from 'holdfast'
import { describe, expect, it } from 'vitest'
import { Holding } from '../../src/lease/held-lease.ts'

/** A clock whose timers never fire, as in a process that has just been woken. */
function stopped(): Clock & { atMs: number } {
  return {
    atMs: 0,
    now: () => 0,
    monotonic() {
      return this.atMs
    },
    sleep: (_ms, signal) =>
      new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
    random: () => 0,
  }
}
const lease = { scope: 's', name: 'n', owner: 'o', epoch: 3n, ttlMs: 1_000, validUntilMs: 1_000 }

describe('a held lease', () => {
  it('is not held from a tenth of the lease before its end, though no timer has fired', () => {
    const clock = stopped()
    const held = new Holding(lease, clock)
    clock.atMs = 899
    expect([held.isHeld(), held.signal.aborted]).toEqual([true, false])
    clock.atMs = 900
    expect([held.isHeld(), held.signal.aborted]).toEqual([false, true])
    expect(held.signal.reason).toMatchObject({ code: 'LEASE_LOST', outcome: 'not-applied', epoch: 3n })
  })

  it('is prolonged by a renewal that comes in time, and never shortened by one', () => {
    const clock = stopped()
    const held = new Holding(lease, clock)
    held.renewed({ ...lease, validUntilMs: 2_000 })
    held.renewed({ ...lease, validUntilMs: 1_500 })
    expect(held.usableUntilMs).toBe(1_900)
    clock.atMs = 1_899
    expect(held.isHeld()).toBe(true)
    held.end('given up')
    expect(held.isHeld()).toBe(false)
  })

  it('is not revived by a renewal that comes after its deadline', () => {
    const clock = stopped()
    const held = new Holding(lease, clock)
    clock.atMs = 950
    held.renewed({ ...lease, validUntilMs: 5_000 })
    expect(held.isHeld()).toBe(false)
    expect(held.signal.aborted).toBe(true)
  })
})
