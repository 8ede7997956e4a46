import { createHook } from 'node:async_hooks'
import { onTestFinished } from 'vitest'

type Timer = NodeJS.Timeout & { readonly _idleTimeout: number; readonly _destroyed: boolean }

export interface TimersOf {
  /** How many were ever made. */
  made(): number
  /** How many of them have neither fired nor been cleared. */
  running(): number
}

/**
 * Counts the timers of exactly `ms` made from now on. A count of all timers of the process would have those of the test
 * runner in it, and of files that ran before in the same thread.
 */
export function timersOf(ms: number): TimersOf {
  const seen: Timer[] = []
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === 'Timeout' && (resource as Timer)._idleTimeout === ms) seen.push(resource as Timer)
    },
  }).enable()
  onTestFinished(() => {
    hook.disable()
  })
  return {
    made: () => seen.length,
    running: () => seen.filter((timer) => !timer._destroyed).length,
  }
}
