import { orAbort, throwIfAborted } from '../core/abort.ts'
import { Bell } from '../core/background.ts'
import { backoffMs } from '../core/backoff.ts'
import { isForPeople } from '../core/errors.ts'
import { failpoint } from '../core/failpoint.ts'
import type { Log } from '../core/log.ts'
import { within } from '../core/timer.ts'
import type { Grant, LockAnswer, LockEngine, LockRequest } from './engine.ts'
import { LockQueueFullError } from './errors.ts'
import type { HeldLock } from './held-lock.ts'
import type { LockKeeper } from './keeper.ts'
import { ANSWER_MS, withdraw } from './withdraw.ts'

/** With what a lock is taken. */
export interface Taking {
  readonly engine: LockEngine
  /** Who renews it from then on. */
  readonly keeper: LockKeeper
  readonly log: Log
}

/** A wait that is nearly over still hears an answer that takes no longer than this. */
const ANSWER_LEAST_MS = 1_000

/**
 * Asks until the lock is held or the time is over: when the engine wakes us, and when an entry before ours may have ended.
 *
 * Undefined when the lock was not free in time; nothing is then left at the engine. With `waitMs` 0 it asks once.
 * @throws LockEngineError, LockQueueFullError, the signal's reason
 */
export async function take(
  { engine, keeper, log }: Taking,
  request: LockRequest,
  waitMs: number,
  signal: AbortSignal | undefined,
): Promise<HeldLock | undefined> {
  throwIfAborted(signal)
  const { clock } = engine
  const how = { wait: waitMs > 0 }
  const endMs = clock.monotonic() + waitMs
  const bell = new Bell()
  let handed: Grant | undefined
  let unwatch: (() => void) | undefined
  let failure: unknown
  let failures = 0
  let asking: Promise<LockAnswer> | undefined
  try {
    for (;;) {
      let pauseMs: number
      try {
        let answer: LockAnswer
        if (handed !== undefined) {
          answer = { kind: 'held', ...handed }
          handed = undefined
        } else {
          const leftMs = how.wait ? Math.max(endMs - clock.monotonic(), ANSWER_LEAST_MS) : ANSWER_MS
          asking = engine.ask(request, how)
          // While the question is on its way: no answer to it is heard before this turn ends.
          if (how.wait) {
            unwatch ??= engine.watch(request, (grant) => {
              handed = grant ?? handed
              bell.ring()
            })
          }
          answer = await orAbort(within(clock, Math.min(ANSWER_MS, leftMs), asking), signal)
          asking = undefined
        }
        failure = undefined
        failures = 0
        const paused = failpoint('lock.asked')
        if (paused !== undefined) await paused
        if (answer.kind === 'held') {
          if (signal?.aborted) break
          const holding = keeper.keep(request, answer)
          if (holding.isHeld()) return holding
          pauseMs = 0 // granted so long ago that it is over again: ask anew
        } else if (answer.kind === 'refused') return undefined
        else if (answer.kind === 'full') throw new LockQueueFullError(request.name, answer.entriesMax)
        // Asking again also keeps the place in the queue.
        else pauseMs = Math.max(1, Math.min(answer.lookInMs, request.ttlMs / 3))
      } catch (error) {
        if (signal?.aborted) break
        if (isForPeople(error) || error instanceof LockQueueFullError) throw error
        failure = error
        failures += 1
        pauseMs = backoffMs(failures, { baseMs: 20, capMs: request.ttlMs / 4 }, clock)
        log.warn('a lock could not be asked for; trying again', { name: request.name, error })
      }
      const leftMs = endMs - clock.monotonic()
      if (leftMs <= 0 || signal?.aborted) break
      await bell.wait(Math.min(pauseMs, leftMs), signal)
      if (signal?.aborted) break
    }
  } finally {
    unwatch?.()
  }
  return withdraw(engine, request, { failure, asking, signal })
}
