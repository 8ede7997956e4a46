import { checkOptions, isDurationOrZero, optionsOf } from './options.ts'
/**
 * A part that runs until told to stop: relay, consumer, lease keeper.
 *
 * `done` settles when the part has ended: fulfilled after `stop`, rejected when it met an error it cannot outlive.
 * `stop` refuses new work, lets work in hand finish for at most `drainMs`, then aborts it; calling it twice is fine.
 */
export interface Background extends AsyncDisposable {
  readonly done: Promise<void>
  stop(options?: { drainMs?: number }): Promise<void>
}

/** How long a `stop` is to wait. @throws ConfigError */
export function drainMsOf<Usual>(
  subject: string,
  options: { readonly drainMs?: number },
  usual: Usual,
): number | Usual {
  const { drainMs } = optionsOf(subject, options)
  checkOptions(subject, options, ['drainMs'], [drainMs === undefined || isDurationOrZero('drainMs', drainMs)])
  return drainMs ?? usual
}

/** A wake-up bell: `wait` returns at the first `ring` since the previous `wait`, or after `ms`. */
export class Bell {
  #rung = false
  #waiter: (() => void) | undefined

  ring(): void {
    this.#rung = true
    this.#waiter?.()
  }

  /** Resolves early when rung or when `signal` fires; never rejects. */
  async wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (!this.#rung && !signal?.aborted) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', wake)
          this.#waiter = undefined
          resolve()
        }
        const timer = setTimeout(wake, Math.max(0, ms))
        signal?.addEventListener('abort', wake, { once: true })
        this.#waiter = wake
      })
    }
    this.#rung = false
  }
}
