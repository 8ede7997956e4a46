/** Timers, the clock and randomness of tasks are the explorer's: a back-off is explored, not waited for. */
import { syncBuiltinESMExports } from 'node:module'
import { watchForeignWork } from './foreign-work.ts'
import { currentTask } from './task.ts'
import { virtualRandom } from './virtual-random.ts'
import { virtualTimers } from './virtual-timers.ts'

// biome-ignore lint/suspicious/noExplicitAny: the globals are replaced by look-alikes
type Any = any

/** A moment like any other, the same in every schedule. */
export const EPOCH_MS = Date.UTC(2026, 0, 1)

const SECOND_NS = 1_000_000_000n

const realImmediate = globalThis.setImmediate
export const realNow = performance.now.bind(performance)
/** One turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => realImmediate(resolve))

/**
 * Keeps the event loop from sleeping until the function it gives is called: to be woken takes as long as many an answer.
 * `each` turn is told.
 */
export function stayAwake(each: () => void): () => void {
  let over = false
  const spin = (): void => {
    each()
    if (!over) realImmediate(spin)
  }
  spin()
  return () => {
    over = true
  }
}

/** Puts what `make` makes of the real one in its place. */
export type Replace = (holder: Any, name: string, make: (real: Any) => unknown) => void

/** Replaces the globals until the returned function is called, and notes what tasks have under way meanwhile. */
export function virtualise(): () => void {
  const undo = standIn()
  const hook = watchForeignWork()
  return () => {
    hook.disable()
    undo()
  }
}

/**
 * Replaces the globals alone. Code outside of tasks sees the real ones, so this may stand before a file is loaded that
 * takes its `setTimeout` or `randomUUID` then and there.
 */
export function standIn(): () => void {
  const undo: (() => void)[] = []
  const replace: Replace = (holder, name, make) => {
    const real = holder[name]
    holder[name] = make(real)
    undo.push(() => {
      holder[name] = real
    })
  }
  virtualTimers(replace)
  // Own deadlines of a task, such as the end of its tries, come as its pauses pass.
  replace(performance, 'now', () => () => currentTask.getStore()?.virtualMs ?? realNow())
  replace(process, 'hrtime', (real) => {
    const nanoseconds = (): bigint => {
      const task = currentTask.getStore()
      return task === undefined ? real.bigint() : BigInt(Math.round(task.virtualMs * 1e6))
    }
    const pair = (before: readonly number[] = [0, 0]): number[] => {
      const passed = nanoseconds() - BigInt(before[0] as number) * SECOND_NS - BigInt(before[1] as number)
      return [Number(passed / SECOND_NS), Number(passed % SECOND_NS)]
    }
    return Object.assign(pair, { bigint: nanoseconds })
  })
  virtualRandom(replace)
  replace(
    globalThis,
    'Date',
    (Real) =>
      new Proxy(Real, {
        construct: (target, args, self) => {
          const task = currentTask.getStore()
          return Reflect.construct(
            target,
            args.length === 0 && task ? [EPOCH_MS + task.virtualMs] : args,
            self,
          )
        },
        get: (target, name) =>
          name === 'now'
            ? () => {
                const task = currentTask.getStore()
                return task === undefined ? target.now() : EPOCH_MS + task.virtualMs
              }
            : Reflect.get(target, name),
      }),
  )
  syncBuiltinESMExports()
  return () => {
    for (const step of undo.reverse()) step()
    syncBuiltinESMExports()
  }
}
