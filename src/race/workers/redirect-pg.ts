/** In a worker: every connection of `pg` that names the race's database is made to the worker's clone, any other is refused. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { RaceCloneError } from '../errors.ts'
import { leadTo } from '../race.ts'

// biome-ignore lint/suspicious/noExplicitAny: a driver's methods take many shapes, passed on as they came
type Any = any

export interface PgAddress {
  readonly host: string
  readonly port: number
  readonly database: string
}

export interface PgRedirect {
  readonly from: PgAddress
  /** The name of the clone, on the same server. */
  readonly to: string
}

/** A class of clients; an instance that is not connected tells where it would connect. */
export interface PgClientClass {
  new (options: object): { readonly host: string; readonly port: number; readonly database: string }
  readonly prototype: object
}

export function addressOf(Client: PgClientClass, options: object): PgAddress {
  const { host, port, database } = new Client(options)
  return { host, port: Number(port), database }
}

const redirected = new WeakSet<object>()
let refused: RaceCloneError | undefined

/** The first connection that was refused, if one was. */
export function refusedConnection(): RaceCloneError | undefined {
  return refused
}

/** For the copy of `pg` that this file would load, before it does. */
export function redirectPgOf(module: string, redirect: PgRedirect): void {
  let driver: { readonly Client: PgClientClass }
  try {
    driver = createRequire(fileURLToPath(module))('pg')
  } catch {
    return // The file has its pool from elsewhere: `redirectPg` follows once it is known.
  }
  redirectPg(driver.Client, redirect)
}

/** For the life of this process. A client of this class that is connected already gets no query through. */
export function redirectPg({ prototype }: PgClientClass, { from, to }: PgRedirect): void {
  const client = prototype as Any
  if (redirected.has(client)) return
  redirected.add(client)
  const { connect, query } = client
  const refuse = (error: RaceCloneError, callback: Any): unknown => {
    refused ??= error
    if (typeof callback !== 'function') return Promise.reject(error)
    process.nextTick(callback, error)
    return undefined
  }
  client.connect = function connectToClone(this: Any, callback?: Any) {
    const { host, port, database } = this
    if (database === from.database && host === from.host && Number(port) === from.port) leadTo(this, to)
    if (this.database !== to) {
      const target = `${host}:${port}/${database}`
      return refuse(
        new RaceCloneError(
          `a connection to ${target} was refused: with workers everything has to go to the race's own database (${from.host}:${from.port}/${from.database}), of which each has a clone`,
        ),
        callback,
      )
    }
    return connect.call(this, callback)
  }
  client.query = function queryOfClone(this: Any, ...args: Any[]) {
    if (this.database === to) return query.apply(this, args)
    const last = args.at(-1)
    return refuse(
      new RaceCloneError(
        `a connection to ${from.database} was made while the file of the race was loaded, by a copy of pg that it does not import itself: workers cannot lead it to their clones`,
      ),
      typeof last === 'function' ? last : args[0]?.callback,
    )
  }
}
