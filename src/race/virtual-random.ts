/** Randomness of tasks: from the task's own seeded numbers, so that a schedule is the same whenever it is run. */
import { createRequire } from 'node:module'
import { currentTask } from './task.ts'
import type { Replace } from './virtual.ts'

// biome-ignore lint/suspicious/noExplicitAny: the builtins are replaced by look-alikes
type Any = any
const require = createRequire(import.meta.url)

/** Replaces Math.random and what of `crypto` draws random numbers; keys are the real ones, since they are not compared. */
export function virtualRandom(replace: Replace): void {
  const crypto = require('node:crypto')
  const web = globalThis.crypto as Any
  const orReal =
    (real: Any, self: unknown, virtual: (random: () => number, ...args: Any[]) => unknown) =>
    (...args: Any[]): unknown => {
      const task = currentTask.getStore()
      return task === undefined ? real.apply(self, args) : virtual(task.random, ...args)
    }
  replace(Math, 'random', (real) => orReal(real, Math, (random) => random()))
  for (const holder of [crypto, web]) replace(holder, 'randomUUID', (real) => orReal(real, holder, uuid))
  // `crypto.getRandomValues` is a getter that reads this one.
  replace(web, 'getRandomValues', (real) => orReal(real, web, fill))
  replace(crypto, 'randomBytes', (real) =>
    orReal(real, crypto, (random, size: Any, callback?: Any) => {
      // A size that is none is refused by the real one.
      if (!Number.isInteger(size) || size < 0) return real(size, callback)
      return told(callback, fill(random, Buffer.alloc(size)))
    }),
  )
  replace(crypto, 'randomFillSync', (real) =>
    orReal(real, crypto, (random, view: Any, offset = 0, size?: number) => {
      fill(random, part(view, offset, size))
      return view
    }),
  )
  replace(crypto, 'randomFill', (real) =>
    orReal(real, crypto, (random, view: Any, ...rest: Any[]) => {
      const callback = rest.pop()
      fill(random, part(view, ...rest))
      return told(callback, view)
    }),
  )
  replace(crypto, 'randomInt', (real) =>
    orReal(real, crypto, (random, ...given: Any[]) => {
      const callback = typeof given.at(-1) === 'function' ? given.pop() : undefined
      const [min, max] = given.length === 1 ? [0, given[0]] : given
      if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max) || max <= min) return real(...given)
      return told(callback, min + Math.floor(random() * (max - min)))
    }),
  )
}

/** By a callback a moment later, where there is one. */
function told(callback: Any, value: unknown): unknown {
  if (typeof callback !== 'function') return value
  process.nextTick(callback, null, value)
  return undefined
}

function part(view: Any, offset = 0, size?: number): Uint8Array {
  const unit = view.BYTES_PER_ELEMENT ?? 1
  const bytes = ArrayBuffer.isView(view)
    ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    : new Uint8Array(view)
  return bytes.subarray(offset * unit, size === undefined ? undefined : (offset + size) * unit)
}

function fill<T extends ArrayBufferView>(random: () => number, view: T): T {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Math.floor(random() * 256)
  return view
}

function uuid(random: () => number): string {
  const hex = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}
