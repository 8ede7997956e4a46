/** Timers of tasks: a pause is a step of the schedule, and is not waited for. */
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { currentTask, type Op, type Task } from './task.ts'
import type { Replace } from './virtual.ts'

// biome-ignore lint/suspicious/noExplicitAny: the globals are replaced by look-alikes
type Any = any
const require = createRequire(import.meta.url)

/** Replaces the timers of `globalThis`, `timers` and `timers/promises`, and the deadline of a signal. */
export function virtualTimers(replace: Replace): void {
  const timers = require('node:timers')
  const promises = require('node:timers/promises')
  const virtual =
    (again: boolean) =>
    (real: Any): unknown => {
      const patched = (callback: Any, ms = 0, ...args: Any[]) => {
        const task = currentTask.getStore()
        return task === undefined
          ? real(callback, ms, ...args)
          : virtualTimer(task, callback, ms, args, again)
      }
      return again
        ? patched
        : Object.defineProperty(patched, promisify.custom, { get: () => promises.setTimeout })
    }
  const clear =
    (real: Any): unknown =>
    (timer: Any) =>
      timer instanceof VirtualTimer ? timer.clear() : real(timer)
  for (const holder of [globalThis, timers]) {
    replace(holder, 'setTimeout', virtual(false))
    replace(holder, 'setInterval', virtual(true))
    replace(holder, 'clearTimeout', clear)
    replace(holder, 'clearInterval', clear)
  }
  replace(promises, 'setTimeout', (real) => (ms = 0, value?: unknown, options?: Any) => {
    const task = currentTask.getStore()
    return task === undefined ? real(ms, value, options) : pause(task, ms, value, options)
  })
  replace(promises, 'setInterval', (real) => (ms = 1, value?: unknown, options?: Any) => {
    const task = currentTask.getStore()
    return task === undefined ? real(ms, value, options) : pauses(task, ms, value, options)
  })
  replace(promises.scheduler, 'wait', (real) => (ms: number, options?: Any) => {
    const task = currentTask.getStore()
    return task === undefined
      ? real.call(promises.scheduler, ms, options)
      : pause(task, ms, undefined, options)
  })
  replace(AbortSignal, 'timeout', (real) => (ms: number) => {
    const task = currentTask.getStore()
    if (task === undefined) return real.call(AbortSignal, ms)
    const controller = new AbortController()
    const late = (): void =>
      controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'))
    virtualTimer(task, late, ms, [], false)
    return controller.signal
  })
}

function pause(task: Task, ms: number, value: unknown, options: Any): Promise<unknown> {
  const { signal } = (options ?? {}) as { signal?: AbortSignal }
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      timer.clear()
      const error = new Error('The operation was aborted', { cause: signal?.reason })
      reject(Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' }))
    }
    const fire = (): void => {
      signal?.removeEventListener('abort', abort)
      resolve(value)
    }
    const timer = virtualTimer(task, fire, ms, [], false)
    if (signal?.aborted) abort()
    else signal?.addEventListener('abort', abort)
  })
}

async function* pauses(task: Task, ms: number, value: unknown, options: Any): AsyncGenerator<unknown> {
  for (;;) yield await pause(task, ms, value, options)
}

class VirtualTimer {
  readonly #task: Task
  #op: Op | undefined

  constructor(task: Task) {
    this.#task = task
  }

  arm(op: Op): void {
    this.#op = op
    if (!this.#task.closed) this.#task.pending.push(op)
  }

  clear(): void {
    const at = this.#op === undefined ? -1 : this.#task.pending.indexOf(this.#op)
    if (at >= 0) this.#task.pending.splice(at, 1)
    this.#op = undefined
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
  hasRef(): boolean {
    return true
  }
  refresh(): this {
    return this
  }
  close(): void {
    this.clear()
  }
  [Symbol.toPrimitive](): number {
    return 0
  }
}

function virtualTimer(task: Task, callback: Any, given: Any, args: Any[], again: boolean): VirtualTimer {
  const ms = Math.max(0, Number(given) || 0)
  const timer = new VirtualTimer(task)
  const arm = (): void =>
    timer.arm({
      kind: 'timer',
      text: `timer of ${ms} ms`,
      values: [],
      dueMs: task.virtualMs + ms,
      again,
      enabled: () => true,
      send: async () => {},
      resolve: () =>
        currentTask.run(task, () => {
          task.virtualMs += ms
          if (again) arm()
          try {
            callback(...args)
          } catch (error) {
            // Nobody is above the callback of a timer: in a service it ends the process.
            task.escaped ??= { error }
          }
        }),
      reject: () => {},
    })
  arm()
  return timer
}
