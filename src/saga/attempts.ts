import { never } from './activity.ts'
import { type AttemptContext, attemptOnce, nameOf, type Phase } from './attempt.ts'
import { describeThrown } from './errors.ts'
import { isFinal, isNotApplied, type ResolvedPolicy, waitMs } from './policy.ts'
import type { SagaRun } from './run.ts'

export type Tried<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed'; readonly error: unknown; readonly unknown: boolean }

/**
 * Tries until it works or fails for good; each failure that is followed by another try is recorded, so that the count
 * and the wait survive the process. `unknown` in `what`: it may have had its effect before the first try.
 * @throws the signal's reason when aborted
 */
export async function attempts<T>(
  run: SagaRun,
  what: { readonly step: string; readonly phase: Phase; readonly unknown?: boolean },
  { policy, timeoutMs, signal }: { policy: ResolvedPolicy; timeoutMs: number; signal: AbortSignal },
  work: (context: AttemptContext) => T | Promise<T>,
): Promise<Tried<T>> {
  const { step, phase } = what
  const { env, history } = run
  const name = nameOf(step, phase)
  const again = `another try of ${phase} "${step}"`
  const about = { saga: run.id, step, phase, key: `${run.id}/${name}`, epoch: env.guard.epoch }
  const before = history.attemptsOf(name)
  let { unknown = false } = what
  const { retryAtMs = 0 } = JSON.parse(before.at(-1)?.data ?? '{}') as { retryAtMs?: number }
  if (retryAtMs > env.nowMs()) await run.wait(retryAtMs, again, signal)
  if (phase === 'do' || phase === 'try') run.begun.add(step)
  for (let attempt = before.length + 1; ; attempt++) {
    let error: unknown
    try {
      const bounds = { timeoutMs, abandonMs: env.abandonMs, signal }
      const value = await attemptOnce({ ...about, attempt }, bounds, work)
      if (run.over) return never()
      return { kind: 'done', value }
    } catch (thrown) {
      error = thrown
    }
    if (run.over) return never()
    signal.throwIfAborted()
    if ((error as { code?: string } | undefined)?.code === 'STALE_EPOCH') {
      run.stuck(step, phase, error, { unknown })
      return never()
    }
    unknown ||= !isNotApplied(error)
    if (attempt >= policy.attemptsMax || isFinal(error, policy)) return { kind: 'failed', error, unknown }
    const untilMs = Math.ceil(env.nowMs() + waitMs(attempt, error, policy, env.store.clock))
    const failed = {
      error: describeThrown(error),
      retryAtMs: untilMs,
      unknown,
      phase,
    }
    run.append('attempt', name, -1, JSON.stringify(failed))
    await run.wait(untilMs, again, signal)
    await run.durable()
  }
}
