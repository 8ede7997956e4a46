import type { Clock } from '../core/clock.ts'
import { checkArguments, checkOptions, isAge, isCount, optionsOf, show } from '../core/options.ts'
import { seededRandom } from './seeded-random.ts'

/** A clock that stands still until a test moves it. */
export interface ManualClock extends Clock {
  /** Sleepers that have not been woken. */
  readonly sleeping: number
  /**
   * Moves both clocks on by `ms`, waking sleepers in order of their time; what a sleeper starts to wait for within the
   * span is woken too. Fulfils when all that was woken has had its turn.
   */
  advance(ms: number): Promise<void>
  /** Sets the wall clock alone, forwards or back, as an administrator or a time server does. Wakes nobody. */
  jump(ms: number): void
}

interface Sleeper {
  readonly atMs: number
  readonly wake: () => void
}

/**
 * Makes a clock that only `advance` moves, with randomness from a seed.
 *
 * It governs what goes through `Clock`: back-off, polling, naming instants. The expiry of a lease is judged by the
 * store's clock and the time-out of a transaction by a real timer; neither follows this clock.
 */
export function manualClock(options: { readonly nowMs?: number; readonly seed?: number } = {}): ManualClock {
  const { nowMs = Date.UTC(2026, 0, 1), seed = 1 } = optionsOf('manualClock', options)
  checkOptions(
    'manualClock',
    options,
    ['nowMs', 'seed'],
    [Number.isFinite(nowMs) || 'nowMs must be a number', isCount('seed', seed, 0, 2 ** 32 - 1)],
  )
  let wallMs = nowMs
  let elapsedMs = 0
  const sleepers = new Set<Sleeper>()

  return {
    get sleeping() {
      return sleepers.size
    },
    now: () => wallMs,
    monotonic: () => elapsedMs,
    random: seededRandom(seed),

    sleep: (ms, signal) =>
      new Promise<void>((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason)
        const onAbort = (): void => {
          sleepers.delete(sleeper)
          reject(signal?.reason)
        }
        const sleeper: Sleeper = {
          atMs: elapsedMs + Math.max(0, ms),
          wake: () => {
            signal?.removeEventListener('abort', onAbort)
            resolve()
          },
        }
        signal?.addEventListener('abort', onAbort, { once: true })
        sleepers.add(sleeper)
      }),

    async advance(ms) {
      checkArguments('manualClock.advance', isAge('ms', ms))
      const endMs = elapsedMs + ms
      for (let next = earliest(endMs); next !== undefined; next = earliest(endMs)) {
        moveTo(next.atMs)
        sleepers.delete(next)
        next.wake()
        await turn()
      }
      moveTo(endMs)
      await turn()
    },

    jump: (ms) => {
      checkArguments('manualClock.jump', Number.isFinite(ms) || `ms must be a number, got ${show(ms)}`)
      wallMs += ms
    },
  }

  function earliest(endMs: number): Sleeper | undefined {
    let first: Sleeper | undefined
    for (const s of sleepers) if (s.atMs <= endMs && (first === undefined || s.atMs < first.atMs)) first = s
    return first
  }

  function moveTo(atMs: number): void {
    if (atMs <= elapsedMs) return
    wallMs += atMs - elapsedMs
    elapsedMs = atMs
  }
}

/** All promise callbacks that are ready run before a macrotask does. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
