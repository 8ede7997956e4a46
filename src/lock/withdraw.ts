import { backoffMs } from '../core/backoff.ts'
import { within } from '../core/timer.ts'
import type { LockEngine, LockRequest } from './engine.ts'
import { LockEngineError } from './errors.ts'

/** The longest that one question to the engine may take. */
export const ANSWER_MS = 5_000
/** How long a failed `acquire` tries to take back what it may have left at the engine, before it says `unknown`. */
const WITHDRAW_MS = 2_000

/** How an `acquire` came to its end. */
export interface Ending {
  /** What its last question failed with. */
  readonly failure: unknown
  /** The question that is still under way. */
  readonly asking: Promise<unknown> | undefined
  readonly signal: AbortSignal | undefined
}

/**
 * Takes back whatever may stand at the engine under this holder, and says what is known.
 *
 * Undefined when nothing is left there and nothing had failed: the time was over.
 * @throws the signal's reason; LockEngineError, outcome `not-applied` when all was taken back, else `unknown`
 */
export async function withdraw(engine: LockEngine, request: LockRequest, ending: Ending): Promise<undefined> {
  const { failure, asking, signal } = ending
  const cause = signal?.aborted ? signal.reason : failure
  try {
    await within(engine.clock, WITHDRAW_MS, remove(engine, request, asking))
  } catch {
    throw new LockEngineError(request.name, 'unknown', 'acquiring', { cause })
  }
  if (signal?.aborted) throw signal.reason
  if (failure !== undefined) throw new LockEngineError(request.name, 'not-applied', 'acquiring', { cause })
  return undefined
}

/**
 * Tries until the entry would have ended by itself, also when nobody waits for it any more. A question that is still under
 * way may reach the engine after the first removal, so what it left is removed when it is over.
 */
async function remove(
  engine: LockEngine,
  request: LockRequest,
  asking: Promise<unknown> | undefined,
): Promise<void> {
  const { clock } = engine
  const endMs = clock.monotonic() + request.ttlMs
  let open = asking
  for (let failures = 1; ; failures++) {
    try {
      await within(clock, ANSWER_MS, engine.release(request))
      if (open === undefined) return
      await within(clock, request.ttlMs, open).catch(() => {})
      open = undefined
    } catch (error) {
      if (clock.monotonic() >= endMs) throw error
      await clock.sleep(backoffMs(failures, { baseMs: 20, capMs: 1_000 }, clock))
    }
  }
}
