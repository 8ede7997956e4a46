import { failpoint } from '../core/failpoint.ts'
import { StepTimeoutError } from './errors.ts'

export interface AttemptContext {
  readonly saga: string
  readonly step: string
  /** The same for every attempt of this step of this saga; its undo has one of its own. */
  readonly key: string
  /** From the lease: an attempt of a later owner has a higher one. */
  readonly epoch: bigint
  /** 1 for the first. */
  readonly attempt: number
  readonly signal: AbortSignal
}

export type Phase = 'do' | 'undo' | 'try' | 'confirm' | 'cancel'

/** What a step is known by in the journal's attempts and in keys: its undo has a name of its own. */
export function nameOf(step: string, phase: Phase): string {
  return phase === 'do' || phase === 'try' ? step : `${step}:${phase}`
}

export interface Bounds {
  readonly timeoutMs: number
  /** Once aborted, `work` is still waited for, for at most so long. */
  readonly abandonMs: number
  readonly signal: AbortSignal
}

/**
 * One attempt, with its time-out.
 * @throws what `work` throws; StepTimeoutError; the signal's reason when `work` did not end within `abandonMs` of it
 */
export async function attemptOnce<T>(
  about: Omit<AttemptContext, 'signal'> & { readonly phase: Phase },
  { timeoutMs, abandonMs, signal }: Bounds,
  work: (context: AttemptContext) => T | Promise<T>,
): Promise<T> {
  const { phase, ...rest } = about
  const controller = new AbortController()
  const context: AttemptContext = { ...rest, signal: controller.signal }
  let abandon: NodeJS.Timeout | undefined
  let timer: NodeJS.Timeout | undefined
  let onAbort!: () => void
  const cut = new Promise<never>((_, reject) => {
    onAbort = () => {
      controller.abort(signal.reason)
      abandon = setTimeout(() => reject(signal.reason), abandonMs)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    timer = setTimeout(() => {
      const error = new StepTimeoutError(`${phase} of step "${rest.step}"`, timeoutMs)
      controller.abort(error)
      reject(error)
    }, timeoutMs)
  })
  cut.catch(() => {})
  try {
    await failpoint('saga.step.before')
    const value = await Promise.race([work(context), cut])
    await failpoint('saga.step.after')
    return value
  } finally {
    clearTimeout(timer)
    clearTimeout(abandon)
    signal.removeEventListener('abort', onAbort)
  }
}
