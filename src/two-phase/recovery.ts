import type { Background } from '../core/background.ts'
import { drainMsOf } from '../core/background.ts'
import { isForPeople } from '../core/errors.ts'
import { checkOptions, isDuration, optionsOf } from '../core/options.ts'
import type { Store } from '../store/index.ts'
import {
  type RecoverOptions,
  type RecoveryOptions,
  type ResolvedTwoPhase,
  resolveRecover,
} from './options.ts'
import type { RecoveryReport } from './recover.ts'

export interface Recovery extends Background {
  /** What the last look found; undefined before the first. */
  readonly last: RecoveryReport | undefined
}

/** Looks again and again for what coordinators have left behind. */
export function startRecovery(
  store: Store,
  { log }: ResolvedTwoPhase,
  given: RecoveryOptions,
  recoverOnce: (options: RecoverOptions) => Promise<RecoveryReport>,
): Recovery {
  const { everyMs = 5_000, signal, ...options } = optionsOf('recovery', given)
  checkOptions(
    'recovery',
    given,
    ['everyMs', 'inDoubtMs', 'timeoutMs', 'signal'],
    [isDuration('everyMs', everyMs)],
  )
  resolveRecover(options)
  const stopping = new AbortController()
  const aborting = new AbortController()
  if (signal?.aborted) stopping.abort()
  signal?.addEventListener('abort', () => stopping.abort(), { once: true })
  let last: RecoveryReport | undefined

  const done = run()
  done.catch(() => {})
  return {
    get last() {
      return last
    },
    done,
    stop,
    [Symbol.asyncDispose]: () => stop(),
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        last = await recoverOnce({ ...options, signal: aborting.signal })
        if (last.committed + last.rolledBack > 0) log.info('two-phase transactions were settled', { ...last })
      } catch (error) {
        if (isForPeople(error)) throw error
        if (!aborting.signal.aborted) log.warn('two-phase recovery failed; tried again', { error })
      }
      await store.clock.sleep(everyMs * (0.5 + store.clock.random()), stopping.signal).catch(() => {})
    }
  }

  async function stop(options: { drainMs?: number } = {}): Promise<void> {
    const drainMs = drainMsOf('recovery.stop', options, 5_000)
    stopping.abort()
    const timer = setTimeout(() => aborting.abort(new Error('recovery was stopped')), drainMs)
    await done.finally(() => clearTimeout(timer))
  }
}
