import { setTimeout as sleep } from 'node:timers/promises'

export interface UntilOptions {
  /** Gives up after this long. Default 10 000. */
  readonly deadlineMs?: number
  /** Pause between two looks. Default 10. */
  readonly everyMs?: number
  /** Said in the error: "gave up waiting for …". */
  readonly what?: string
}

/**
 * Waits until `condition` answers something truthy, and returns that. Used instead of fixed sleeps.
 *
 * A condition that throws counts as "not yet"; its last error is the `cause` when the deadline passes.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: UntilOptions = {},
): Promise<NonNullable<T>> {
  const { deadlineMs = 10_000, everyMs = 10, what = 'the condition' } = options
  const endMs = performance.now() + deadlineMs
  let cause: unknown
  for (;;) {
    try {
      const answer = await condition()
      if (answer) return answer
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (performance.now() >= endMs)
      throw new Error(`gave up waiting for ${what} after ${deadlineMs} ms`, { cause })
    await sleep(everyMs)
  }
}
