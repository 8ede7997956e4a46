/** Work of Node's that a task has begun and nothing here decides about: a file, a hash, a program, a name, a connection. */
import { AsyncResource, createHook } from 'node:async_hooks'
import { beginning } from './errors.ts'
import { isGoverned, listensHere } from './intercept-http.ts'
import { currentTask, type Task } from './task.ts'

// biome-ignore lint/suspicious/noExplicitAny: what Node hands to a hook takes many shapes
type Any = any

/** Local work that ends by itself in a moment: the scheduler waits for it. */
export interface ForeignWork {
  /** Where it began. */
  readonly began: Error
  /** False for a resource that idles. */
  isUnderWay(): boolean
}

/** Work that leaves the process without passing a driver that is intercepted. */
const NETWORK = /^(TCPCONNECTWRAP|PIPECONNECTWRAP|UDPSENDWRAP|QUERYWRAP|HTTPCLIENTREQUEST)$/
/** Ends with one callback. */
const ONCE =
  /^(FSREQCALLBACK|FSREQPROMISE|FILEHANDLECLOSEREQ|PROCESSWRAP|GETADDRINFOREQWRAP|GETNAMEINFOREQWRAP)$/
/** The same class stands behind `randomBytes(8)` and `randomBytes(8, callback)`; only the former gives its answer at once. */
const CRYPTO =
  /^(ARGON2|CHECKPRIME|CIPHER|DERIVEBITS|HASH|KEYEXPORT|KEYGEN|KEYPAIRGEN|PBKDF2|RANDOMBYTES|RANDOMPRIME|SCRYPT|SIGN|VERIFY)REQUEST$/
/** Where Node asks the thread of a loader (`module.register`, as tsx does on Node 20) for a module. */
const LOADER = /node:internal\/modules\/esm\//
/** What may speak at any time, by the names that users know. */
const LASTING: ReadonlyMap<string, string> = new Map([
  ['WORKER', 'a Worker'],
  ['MESSAGEPORT', 'a MessagePort or a Worker'],
  ['FSEVENTWRAP', 'fs.watch'],
  ['STATWATCHER', 'fs.watchFile'],
  ['UDPWRAP', 'a UDP socket'],
  ['SIGNALWRAP', 'listening for a signal'],
  ['TTYWRAP', 'a terminal'],
])
/** Node's own resources have names in capitals, or these. */
const NODES_OWN = /^([A-Z][A-Z0-9]*|PROMISE|Timeout|Immediate|TickObject|Microtask)$/

/** Notes what each task has under way, until it is disabled. */
export function watchForeignWork(): { disable(): unknown } {
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
    init(id, type, trigger, resource: Any) {
      if (type === 'PROMISE' || type === 'TickObject') return
      const task = currentTask.getStore()
      if (task === undefined) return
      const note = (isUnderWay: () => boolean): void => {
        task.foreign.set(id, { began: beginning(`${type} begun by task ${task.name}`), isUnderWay })
      }
      if (type === 'Timeout')
        task.realTimer = beginning(`a timer taken before the search, begun by task ${task.name}`)
      // A socket is made where the code asks for it, and connects a moment later, on a stack of its own.
      else if (type === 'TCPWRAP' || type === 'PIPEWRAP')
        sockets.set(id, beginning(`a connection begun by task ${task.name}`))
      else if (NETWORK.test(type)) noteNetwork(task, type, resource, sockets.get(trigger))
      else if (LASTING.has(type)) {
        const began = beginning(`${LASTING.get(type)} begun by task ${task.name}`)
        if (type !== 'MESSAGEPORT' || !LOADER.test(began.stack ?? '')) task.lasting = began
        else {
          // One for each question to the thread of a loader, closed by the answer.
          task.foreign.set(id, { began: beginning(`import() by task ${task.name}`), isUnderWay: () => true })
          owners.set(id, task)
          destroyed.enable()
        }
      }
      // A handle outlives its pieces of work, and holds one while it is at it.
      else if (type === 'ZLIB') note(() => resource.buffer != null)
      else if (CRYPTO.test(type)) {
        const { run } = resource
        resource.run = (): unknown => {
          const answer = run.call(resource)
          if (Array.isArray(answer)) return answer
          note(() => true)
          owners.set(id, task)
          return answer
        }
      } else if (ONCE.test(type) || isNative(type, resource)) {
        note(() => true)
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

/** Work of an addon in Node's thread pool, such as bcrypt's, has a name that the addon chose. */
function isNative(type: string, resource: Any): boolean {
  return !NODES_OWN.test(type) && !(resource instanceof AsyncResource)
}

/** A request to a server of this process is governed; the connection that it opens has its address a moment later. */
function noteNetwork(task: Task, type: string, resource: Any, socket: Error | undefined): void {
  const began = socket ?? beginning(`${type} begun by task ${task.name}`)
  if (type === 'TCPCONNECTWRAP') task.connecting.push({ began, isHere: () => listensHere(resource.port) })
  else if (type !== 'HTTPCLIENTREQUEST' || !isGoverned(resource.req)) task.uncontrolled ??= began
}
