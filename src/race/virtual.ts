/** Timers, the clock and randomness of tasks are the explorer's: a back-off is explored, not waited for. */
import { createHook } from 'node:async_hooks'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { beginning } from './errors.ts'
import { isGoverned, listensHere } from './intercept-http.ts'
import { currentTask, type Op, type Task } from './task.ts'

// biome-ignore lint/suspicious/noExplicitAny: the globals are replaced by look-alikes
type Any = any
const require = createRequire(import.meta.url)

/** A moment like any other, the same in every schedule. */
export const EPOCH_MS = Date.UTC(2026, 0, 1)

const realImmediate = globalThis.setImmediate
export const realNow = performance.now.bind(performance)
/** One turn of the event loop. */
export const turn = (): Promise<void> => new Promise((resolve) => realImmediate(resolve))

/** Work that leaves the process without passing a driver that is intercepted. */
const NETWORK = /^(TCPCONNECTWRAP|PIPECONNECTWRAP|UDPSENDWRAP|QUERYWRAP|HTTPCLIENTREQUEST)$/
const LOCAL =
  /^(FSREQCALLBACK|FSREQPROMISE|PROCESSWRAP|RANDOMBYTESREQUEST|PBKDF2REQUEST|SCRYPTREQUEST|ZLIB|GETADDRINFOREQWRAP)$/

/** Replaces the globals until the returned function is called. Code outside of tasks sees the real ones. */
export function virtualise(): () => void {
  const undo: (() => void)[] = []
  const replace = (holder: Any, name: string, make: (real: Any) => unknown): void => {
    const real = holder[name]
    holder[name] = make(real)
    undo.push(() => {
      holder[name] = real
    })
  }
  const timers = require('node:timers')
  const promises = require('node:timers/promises')
  const crypto = require('node:crypto')
  const timeout = (real: Any): unknown => {
    const patched = (callback: Any, ms = 0, ...args: Any[]) => {
      const task = currentTask.getStore()
      return task === undefined ? real(callback, ms, ...args) : virtualTimer(task, callback, ms, args, false)
    }
    return Object.assign(patched, real)
  }
  const clear =
    (real: Any): unknown =>
    (timer: Any) =>
      timer instanceof VirtualTimer ? timer.clear() : real(timer)
  for (const holder of [globalThis, timers]) {
    replace(holder, 'setTimeout', timeout)
    replace(holder, 'clearTimeout', clear)
    replace(holder, 'clearInterval', clear)
    replace(holder, 'setInterval', (real) => (callback: Any, ms = 0, ...args: Any[]) => {
      const task = currentTask.getStore()
      return task === undefined ? real(callback, ms, ...args) : virtualTimer(task, callback, ms, args, true)
    })
  }
  replace(promises, 'setTimeout', (real) => (ms = 0, value?: unknown, options?: Any) => {
    const task = currentTask.getStore()
    if (task === undefined) return real(ms, value, options)
    return new Promise((resolve, reject) => {
      const { signal } = options ?? {}
      const abort = (): void => {
        timer.clear()
        reject(signal.reason)
      }
      const fire = (): void => {
        signal?.removeEventListener('abort', abort)
        resolve(value)
      }
      const timer = virtualTimer(task, fire, ms, [], false)
      if (signal?.aborted) abort()
      else signal?.addEventListener('abort', abort)
    })
  })
  // Own deadlines of a task, such as the end of its tries, come as its pauses pass.
  replace(performance, 'now', () => () => currentTask.getStore()?.virtualMs ?? realNow())
  replace(Math, 'random', (real) => () => (currentTask.getStore()?.random ?? real)())
  replace(crypto, 'randomUUID', (real) => (options?: Any) => {
    const task = currentTask.getStore()
    return task === undefined ? real(options) : uuid(task.random)
  })
  const webCrypto = globalThis.crypto as Any
  const realUuid = webCrypto.randomUUID
  webCrypto.randomUUID = () => {
    const task = currentTask.getStore()
    return task === undefined ? realUuid.call(webCrypto) : uuid(task.random)
  }
  undo.push(() => {
    webCrypto.randomUUID = realUuid
  })
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
  const hook = watchUncontrolled()
  return () => {
    hook.disable()
    for (const step of undo.reverse()) step()
    syncBuiltinESMExports()
  }
}

/** Notes what a task awaits that nothing here governs, with the stack where it began. */
function watchUncontrolled(): { disable(): unknown } {
  const owners = new Map<number, Task>()
  const sockets = new Map<number, Error>()
  const finish = (id: number): void => {
    if (!owners.has(id)) return
    owners.get(id)?.foreign.delete(id)
    owners.delete(id)
    if (owners.size === 0) destroyed.disable()
  }
  // While it is on, Node tracks the end of every promise, which costs more than all else here.
  const destroyed = createHook({ destroy: finish })
  const begun = createHook({
    init(id, type, trigger, resource) {
      if (type === 'PROMISE' || type === 'TickObject') return
      const task = currentTask.getStore()
      if (task === undefined) return
      // A socket is made where the code asks for it, and connects a moment later, on a stack of its own.
      if (type === 'TCPWRAP' || type === 'PIPEWRAP')
        sockets.set(id, beginning(`a connection begun by task ${task.name}`))
      else if (NETWORK.test(type)) noteNetwork(task, type, resource, sockets.get(trigger))
      else if (LOCAL.test(type)) {
        task.foreign.set(id, new Error(`${type} begun by task ${task.name}`))
        owners.set(id, task)
        destroyed.enable()
      }
    },
    after: finish,
  }).enable()
  return {
    disable() {
      begun.disable()
      destroyed.disable()
    },
  }
}

/** A request to a server of this process is governed; the connection that it opens has its address a moment later. */
function noteNetwork(task: Task, type: string, resource: Any, socket: Error | undefined): void {
  const began = socket ?? beginning(`${type} begun by task ${task.name}`)
  if (type === 'TCPCONNECTWRAP') task.connecting.push({ began, isHere: () => listensHere(resource.port) })
  else if (type !== 'HTTPCLIENTREQUEST' || !isGoverned(resource.req)) task.uncontrolled ??= began
}

function uuid(random: () => number): string {
  const hex = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
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
          callback(...args)
        }),
      reject: () => {},
    })
  arm()
  return timer
}
