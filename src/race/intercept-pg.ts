/** Interception at `pg`: the queries and checkouts of a task become steps; everybody else's pass untouched. */
import { setTimeout as delay } from 'node:timers/promises'
import { COMPANIONS, type Companions } from '../core/index.ts'
import { sharedClient, strays } from './remedy/one-transaction.ts'
import type { Statement, Treatment } from './remedy/treatment.ts'
import { asNobody, currentTask, type DriverClient, type Task } from './task.ts'

// biome-ignore lint/suspicious/noExplicitAny: a driver's methods take many shapes, passed on as they came
type Any = any

export interface PoolLike {
  readonly options: { readonly max?: number }
  readonly Client: new (options: object) => RawClient
}

/** The control connection: a client of the same driver that belongs to no task. */
export interface RawClient extends DriverClient {
  connect(): Promise<unknown>
  query(
    text: string | { readonly name: string; readonly text: string; readonly values?: unknown[] },
    values?: unknown[],
  ): Promise<{ rows: Any[]; rowCount: number | null; command: string }>
  end(): Promise<void>
}

/**
 * Patches the driver that made `pool`, until the returned function is called. Each connection that a task gets commits
 * without waiting for the disk meanwhile: what is explored are orders of statements, not losses of power, and the waits
 * would be most of the time.
 */
export function interceptPg(pool: PoolLike, taskCount: number, treatment?: Treatment): () => Promise<void> {
  const client = pool.Client.prototype
  const pools = poolPrototype(pool)
  const { query, connect, end: endClient } = client
  const { connect: take, end: endPool } = pools
  const hurried = new Set<Any>()
  const checkout = function hurriedCheckout(this: Any, callback?: Any): unknown {
    const taken = Promise.resolve(take.call(this)).then(async (taken: Any) => {
      if (!hurried.has(taken)) {
        hurried.add(taken)
        await query.call(taken, HURRY)
      }
      return taken
    })
    if (typeof callback !== 'function') return taken
    taken.then(
      (it: Any) => callback(undefined, it, it.release.bind(it)),
      (error: unknown) => callback(error),
    )
    return undefined
  }
  client.query = function patchedQuery(this: Any, ...args: Any[]) {
    const task = currentTask.getStore()
    return task === undefined
      ? query.apply(this, args)
      : askQuery({ task, client: this, query, treatment }, args)
  }
  client.connect = function patchedConnect(this: Any, callback?: Any) {
    const task = currentTask.getStore()
    return task === undefined ? connect.call(this, callback) : driverWork(task, this, connect, callback)
  }
  pools.connect = function patchedCheckout(this: Any, callback?: Any) {
    const task = currentTask.getStore()
    const shared = task === undefined ? undefined : sharedClient(task, this)
    if (shared !== undefined) return deliver(task as Task, Promise.resolve(shared), callback, withRelease)
    return task === undefined
      ? checkout.call(this, callback)
      : askCheckout(task, this, checkout, callback, taskCount)
  }
  // Saying good-bye to the server decides nothing, and takes a moment.
  const ending = (end: Any) =>
    function patchedEnd(this: Any, callback?: Any) {
      const task = currentTask.getStore()
      return task === undefined ? end.call(this, callback) : driverWork(task, this, end, callback)
    }
  client.end = ending(endClient)
  pools.end = ending(endPool)
  return async () => {
    Object.assign(client, { query, connect, end: endClient })
    Object.assign(pools, { connect: take, end: endPool })
    const open = [...hurried].filter((one) => one._ended !== true && one._ending !== true)
    const reset = Promise.allSettled(open.map((one) => query.call(one, 'reset synchronous_commit')))
    // One that a failed schedule left behind may never answer.
    await Promise.race([reset, delay(RESET_MS, undefined, { ref: false })])
  }
}

const RESET_MS = 1_000

/** Which task got a connection last, from a pool or by opening it. */
const takenBy = new WeakMap<object, Task>()

const HURRY = 'set synchronous_commit = off'

/** The prototype that holds `connect`: pg makes a subclass of pg-pool's Pool for each of its faces. */
function poolPrototype(pool: object): Any {
  let at = Object.getPrototypeOf(pool)
  while (at !== null && !Object.hasOwn(at, 'connect')) at = Object.getPrototypeOf(at)
  return at
}

/** A call of `client.query` by a task. */
interface Call {
  readonly task: Task
  readonly client: Any
  readonly query: Any
  readonly treatment: Treatment | undefined
}

function askQuery(call: Call, args: Any[]): unknown {
  const { task, client, query, treatment } = call
  const [config] = args
  if (treatment !== undefined && strays(task, client)) treatment.strayed = true
  if (typeof config?.submit === 'function') return askSubmittable(call, args)
  const last = args.at(-1)
  const callback = typeof last === 'function' ? last : config?.callback
  const passed = typeof last === 'function' ? args.slice(0, -1) : args
  const given = {
    text: (typeof config === 'string' ? config : (config?.text ?? '')).trim(),
    values: (Array.isArray(passed[1]) ? passed[1] : config?.values) ?? [],
  }
  const text = treatment?.rewrite(task, given) ?? given.text
  const sent = text === given.text ? passed : [rewritten(config, text), ...passed.slice(1)]
  const answer = task.ask({
    kind: 'statement',
    text,
    values: given.values,
    client,
    own: takenBy.get(client) === task,
    enabled: () => true,
    send: () => asNobody(() => query.apply(client, sent)),
  })
  return deliver(task, answered(call, { ...given, text }, answer), callback)
}

/** A prepared statement has a name for one text, so another text goes without. */
function rewritten(config: Any, text: string): unknown {
  return typeof config === 'string' ? text : { ...config, text, name: undefined }
}

function answered({ task, treatment }: Call, sent: Statement, answer: Promise<Any>): Promise<unknown> {
  if (treatment === undefined) return answer
  return answer.then((result) =>
    Array.isArray(result) || result === undefined ? result : treatment.answered(task, sent, result),
  )
}

/**
 * A cursor or a Query object: it is handed to the server when its turn comes, and done when the server is ready again.
 * What a Query object tells its callback is held until the task goes on; a cursor tells what it reads by itself.
 */
function askSubmittable(call: Call, args: Any[]): unknown {
  const { task, client, query } = call
  const [submittable] = args
  const { callback } = submittable
  const holds = typeof callback === 'function' && submittable.cursor === undefined
  if (holds) treatSubmittable(call, submittable)
  const { [COMPANIONS]: companions } = submittable as { [COMPANIONS]?: Companions }
  const sent = {
    text: submittable.text ?? submittable.cursor?.text ?? 'cursor',
    values: submittable.values ?? [],
  }
  const answer = task.ask({
    kind: 'statement',
    ...sent,
    client,
    own: takenBy.get(client) === task,
    ...(companions && { with: companions }),
    lazy: !holds,
    enabled: () => true,
    send: () =>
      new Promise((resolve, reject) => {
        let result: unknown
        if (holds)
          submittable.callback = (error: unknown, value: unknown) => {
            if (error) reject(error)
            else result = value
          }
        else after(submittable, 'handleError', reject)
        after(submittable, 'handleReadyForQuery', () => resolve(result))
        asNobody(() => query.apply(client, args))
      }),
  })
  if (holds) deliver(task, answered(call, sent, answer), callback)
  else answer.catch(() => {})
  return submittable
}

function treatSubmittable({ task, treatment }: Call, query: Any): void {
  if (treatment === undefined) return
  const { text, values = [] } = query
  const treated = treatment.rewrite(task, { text, values })
  if (treated !== text) Object.assign(query, { text: treated, name: undefined })
  const { before, after } = (query[COMPANIONS] as Companions | undefined) ?? {}
  if (before === undefined) return
  query[COMPANIONS] = { before: treatment.rewrite(task, { text: before, values: [] }), after }
}

/** Lets `then` know when the method has run, with what it was given. */
function after(of: Any, method: string, then: (given: unknown) => void): void {
  const run = of[method]
  of[method] = function done(this: Any, ...given: Any[]) {
    const returned = run?.apply(this, given)
    then(given[0])
    return returned
  }
}

/** A pool is a lock too. Where it is large enough for everybody, taking a connection decides nothing and is no step. */
function askCheckout(task: Task, pool: Any, checkout: Any, callback: Any, taskCount: number): unknown {
  const free = (): boolean => pool.idleCount > 0 || pool.totalCount < pool.options.max
  const take = async (): Promise<Any> => {
    const client = await asNobody(() => checkout.call(pool))
    takenBy.set(client, task)
    return client
  }
  if (pool.options.max >= 2 * taskCount && free()) return driverWork(task, pool, checkout, callback)
  const answer = task.ask({
    kind: 'checkout',
    text: 'take a connection from the pool',
    values: [],
    enabled: free,
    send: take,
  })
  return deliver(task, answer, callback, withRelease)
}

/** What a callback of `pool.connect` gets. */
function withRelease(client: Any): Any[] {
  return [client, client.release.bind(client)]
}

/** Work of the driver that is no step: the scheduler waits for it, the task's code goes on as the task. */
function driverWork(task: Task, self: Any, method: Any, callback: Any): unknown {
  task.driverWork += 1
  const done = (): void => {
    task.driverWork -= 1
  }
  const work = new Promise((resolve, reject) => {
    asNobody(() =>
      method.call(self, (error: unknown, ...values: Any[]) => {
        if (error) return reject(error)
        takenBy.set(values[0] ?? self, task)
        resolve(values)
      }),
    )
  }) as Promise<Any[]>
  work.then(done, done)
  if (typeof callback !== 'function') return work.then(([value]) => value)
  work.then(
    (values) => currentTask.run(task, () => callback(undefined, ...values)),
    (error) => currentTask.run(task, () => callback(error)),
  )
  return undefined
}

function deliver(
  task: Task,
  answer: Promise<unknown>,
  callback: Any,
  spread: (value: Any) => Any[] = (value) => [value],
): unknown {
  if (typeof callback !== 'function') return answer
  answer.then(
    (value) => currentTask.run(task, () => callback(null, ...spread(value))),
    (error) => currentTask.run(task, () => callback(error)),
  )
  return undefined
}
