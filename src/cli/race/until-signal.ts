import { constants } from 'node:os'
import { CliError } from '../cli-error.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Where `handles`, the first signal that would end the process aborts `work` instead, which then cleans up; the command ends
 * as the signal would have ended it. A second one does so at once.
 */
export async function untilSignal(
  handles: boolean,
  work: (options: { readonly signal?: AbortSignal }) => Promise<void>,
): Promise<void> {
  if (!handles) return work({})
  const controller = new AbortController()
  const listeners = SIGNALS.map((name) => {
    const listener = (): void => {
      const exitCode = 128 + constants.signals[name]
      controller.abort(new CliError('INTERRUPTED', exitCode, `ended by ${name}; what it had made is gone`))
    }
    process.once(name, listener)
    return [name, listener] as const
  })
  try {
    await work({ signal: controller.signal })
  } finally {
    for (const [name, listener] of listeners) process.off(name, listener)
  }
}
