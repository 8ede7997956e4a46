/**
 * HTTP from a task to a server in this process: the handler runs as the task that called it, so that its statements are that
 * task's steps. A call to anywhere else is not governed.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { Server as NetServer } from 'node:net'
import { beginning } from './errors.ts'
import { currentTask, type Task } from './task.ts'

// biome-ignore lint/suspicious/noExplicitAny: the builtins are replaced by look-alikes
type Any = any
const require = createRequire(import.meta.url)

/** Names the exchange between the two ends of one process; the handler does not see it. */
const MARK = 'x-holdfast-race'
/** Looks at an answer that has begun and does not end: the task leaves its body unread. */
const UNREAD_LOOKS = 64

/** One request of a task, from its making until its answer has been read. */
class Exchange {
  readonly task: Task
  /** Where it began, for the error of one that never ends. */
  readonly began: Error
  #handled: { readonly request: IncomingMessage; readonly response: ServerResponse } | undefined
  #looks = 0
  answered = false

  constructor(task: Task, began: Error) {
    this.task = task
    this.began = began
    task.exchanges.add(this)
  }

  handledBy(request: IncomingMessage, response: ServerResponse): void {
    this.#handled = { request, response }
  }

  end(): void {
    this.task.exchanges.delete(this)
  }

  /** Whether bytes are on their way: in the handler's hands it is the handler's steps that count. */
  isMoving(): boolean {
    if (this.answered) {
      this.#looks += 1
      return this.#looks < UNREAD_LOOKS
    }
    if (this.#handled === undefined) return true
    const { request, response } = this.#handled
    return response.writableEnded || (request.readableFlowing === true && !request.complete)
  }
}

/** `fetch` makes its request later, on a stack without its caller. */
const fetchCall = new AsyncLocalStorage<Error>()

/** Requests of `http` that are governed. */
const governed = new WeakSet<object>()

export function isGoverned(request: object): boolean {
  return governed.has(request)
}

/** Whether a server of this process listens there. */
export function listensHere(port: number): boolean {
  const handles: unknown[] = (process as Any)._getActiveHandles?.() ?? []
  return handles.some(
    (handle) => handle instanceof NetServer && (handle.address() as { port?: number } | null)?.port === port,
  )
}

/** Patches both ends until the returned function is called. */
export function interceptHttp(): () => void {
  const http = require('node:http')
  const exchanges = new Map<string, Exchange>()
  const begin = (
    task: Task,
    url: { readonly hostname: string; readonly port: number },
  ): string | undefined => {
    const where = `${url.hostname}:${url.port}`
    const began = fetchCall.getStore() ?? beginning(`a request begun by task ${task.name}`)
    began.message = `a request to ${where} begun by task ${task.name}`
    if (!isLoopback(url.hostname) || !listensHere(url.port)) {
      task.uncontrolled ??= began
      return undefined
    }
    const mark = `${task.index}.${exchanges.size}`
    exchanges.set(mark, new Exchange(task, began))
    return mark
  }
  const undo = [
    interceptFetch(begin, (mark) => exchanges.get(mark)),
    interceptRequests(http, begin, (mark) => exchanges.get(mark)),
    interceptServers(http, (mark) => exchanges.get(mark)),
  ]
  return () => {
    for (const step of undo) step()
  }
}

type Begin = (task: Task, url: { readonly hostname: string; readonly port: number }) => string | undefined
type Find = (mark: string) => Exchange | undefined

/** `fetch` and undici say what they do. */
function interceptFetch(begin: Begin, find: Find): () => void {
  const marks = new WeakMap<object, string>()
  const exchangeOf = ({ request }: Any): Exchange | undefined => find(marks.get(request) ?? '')
  const subscriptions: Record<string, (message: Any) => void> = {
    'undici:request:create': ({ request }) => {
      const task = currentTask.getStore()
      if (task === undefined || request.origin === undefined) return
      const { hostname, port, protocol } = new URL(request.origin)
      const mark = begin(task, { hostname, port: Number(port) || (protocol === 'https:' ? 443 : 80) })
      if (mark === undefined) return
      marks.set(request, mark)
      request.addHeader(MARK, mark)
    },
    'undici:request:headers': (message) => {
      const exchange = exchangeOf(message)
      if (exchange !== undefined) exchange.answered = true
    },
    'undici:request:trailers': (message) => exchangeOf(message)?.end(),
    'undici:request:error': (message) => exchangeOf(message)?.end(),
  }
  for (const [name, listener] of Object.entries(subscriptions)) subscribe(name, listener)
  const { fetch } = globalThis
  globalThis.fetch = (...args) =>
    currentTask.getStore() === undefined
      ? fetch(...args)
      : fetchCall.run(beginning('fetch'), () => fetch(...args))
  return () => {
    globalThis.fetch = fetch
    for (const [name, listener] of Object.entries(subscriptions)) unsubscribe(name, listener)
  }
}

function interceptRequests(http: Any, begin: Begin, find: Find): () => void {
  const { request, get } = http
  const patched = function patchedRequest(...args: Any[]): ClientRequest {
    const task = currentTask.getStore()
    const mark = task === undefined ? undefined : begin(task, targetOf(args))
    const made = request.apply(http, args) as ClientRequest
    const exchange = mark === undefined ? undefined : find(mark)
    if (mark !== undefined && exchange !== undefined) {
      governed.add(made)
      made.setHeader(MARK, mark)
      observe(made, exchange)
    }
    return made
  }
  http.request = patched
  http.get = (...args: Any[]) => {
    const made = patched(...args)
    made.end()
    return made
  }
  syncBuiltinESMExports()
  return () => {
    http.request = request
    http.get = get
    syncBuiltinESMExports()
  }
}

/** By its events and without a listener: one for `response` would take the answer away from nobody. */
function observe(made: ClientRequest, exchange: Exchange): void {
  const { emit } = made
  made.emit = function observedEmit(this: ClientRequest, event: string | symbol, ...args: Any[]) {
    if (event === 'response') {
      exchange.answered = true
      args[0].once('end', () => exchange.end())
    }
    if (event === 'close' || event === 'error') exchange.end()
    return emit.call(this, event, ...args)
  }
}

/** The handler, and what listens to its request, runs as the task. */
function interceptServers(http: Any, find: Find): () => void {
  const { prototype } = http.Server
  const { emit } = prototype
  prototype.emit = function patchedEmit(this: Any, event: string, ...args: Any[]) {
    const [request, response] = args
    const mark = event === 'request' ? request?.headers?.[MARK] : undefined
    const exchange = mark === undefined ? undefined : find(mark)
    if (exchange === undefined) return emit.call(this, event, ...args)
    delete request.headers[MARK]
    exchange.handledBy(request, response)
    for (const end of [request, response]) {
      const { emit: own } = end
      end.emit = (...given: Any[]) => currentTask.run(exchange.task, () => own.apply(end, given))
    }
    return currentTask.run(exchange.task, () => emit.call(this, event, ...args))
  }
  return () => {
    delete prototype.emit
  }
}

/** Of the three forms of `http.request`. */
function targetOf([first, second]: Any[]): { hostname: string; port: number } {
  const url = typeof first === 'string' ? new URL(first) : first instanceof URL ? first : undefined
  const options = url === undefined ? first : typeof second === 'object' ? second : undefined
  const hostname = options?.hostname ?? options?.host ?? url?.hostname ?? 'localhost'
  return { hostname, port: Number(options?.port ?? url?.port) || 80 }
}

function isLoopback(hostname: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/.test(hostname)
}
