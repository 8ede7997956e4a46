import { currentTask, type Task } from '../task.ts'

// biome-ignore lint/suspicious/noExplicitAny: a driver's pool and client, passed on as they are
type Any = any

/** The one connection of a task, as it is handed out at every checkout: releasing it gives nothing back. */
const shared = new WeakMap<Task, { readonly pool: object; readonly client: Any; readonly real: Any }>()

/** What a checkout gives instead of another connection; undefined for a task that has not one for all. */
export function sharedClient(task: Task, pool: object): Any {
  const one = shared.get(task)
  return one?.pool === pool ? one.client : undefined
}

/** True for a statement that goes past the one connection of its task. */
export function strays(task: Task, client: object): boolean {
  const one = shared.get(task)
  return one !== undefined && one.real !== client
}

/** The task with all of its statements in one transaction, committed when it returns. */
export function inOneTransaction(body: () => unknown, pool: object, begin: string): () => Promise<unknown> {
  return async () => {
    const task = currentTask.getStore()
    const client = await (pool as Any).connect()
    try {
      await client.query(begin)
      if (task !== undefined) shared.set(task, { pool, client: withoutRelease(client), real: client })
      const value = await body()
      await client.query('commit')
      return value
    } catch (error) {
      await client.query('rollback').catch(() => {}) // the first error counts
      throw error
    } finally {
      if (task !== undefined) shared.delete(task)
      client.release()
    }
  }
}

function withoutRelease(client: Any): Any {
  return new Proxy(client, {
    get(of, property) {
      if (property === 'release') return () => {}
      const value = Reflect.get(of, property, of)
      return typeof value === 'function' ? value.bind(of) : value
    },
  })
}

/** A task that is run again so often is given up: somebody else gets on, or nobody does. */
const TRIES_MAX = 10

/** The task, run again from its beginning while it fails in one of these ways. */
export function runAgain(body: () => unknown, fits: (error: unknown) => boolean): () => Promise<unknown> {
  return async () => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await body()
      } catch (error) {
        if (tries === TRIES_MAX || !fits(error)) throw error
      }
    }
  }
}
