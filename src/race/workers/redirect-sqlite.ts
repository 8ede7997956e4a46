/** In a worker: a handle on the race's file is opened on the worker's copy, any other file is refused. */
import { realpathSync } from 'node:fs'
import Module, { createRequire, syncBuiltinESMExports } from 'node:module'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SqliteDatabaseLike } from '../../store/sqlite/sqlite-client.ts'
import { RaceCloneError } from '../errors.ts'
import type { DriverName } from '../sqlite/driver-of.ts'
import { fileOf } from '../sqlite/handle.ts'

// biome-ignore lint/suspicious/noExplicitAny: a driver's class takes many shapes, passed on as they came
type Any = any

export interface SqliteRedirect {
  readonly from: string
  readonly to: string
  /** Those that the race's file loads. */
  readonly drivers: readonly DriverName[]
}

let led: SqliteRedirect | undefined

/** Where this process was led to. */
export function ledTo(): SqliteRedirect | undefined {
  return led
}

/** For the life of this thread, and before anything has loaded the driver. `refused` is told of a file that was not opened. */
export function redirectSqlite(
  redirect: SqliteRedirect,
  module: string,
  refused: (error: RaceCloneError) => void,
): void {
  led = redirect
  const leading = (Database: Any): Any => leadingTo(redirect, Database, refused)
  const require = createRequire(fileURLToPath(module))
  for (const name of redirect.drivers) {
    if (name === 'node:sqlite') {
      const loaded = require(name)
      loaded.DatabaseSync = leading(loaded.DatabaseSync)
      syncBuiltinESMExports()
    } else {
      exporting(require.resolve(name), leading, () => require(name))
    }
  }
}

/** What a CommonJS module exports is taken down for `import` as soon as it has run, so it is changed at that moment. */
function exporting(file: string, change: (exports: Any) => Any, load: () => void): void {
  const { _extensions: extensions } = Module as unknown as {
    readonly _extensions: Record<string, (module: Any, path: string) => void>
  }
  const run = extensions['.js'] as (module: Any, path: string) => void
  extensions['.js'] = (module, path) => {
    run(module, path)
    if (path === file) module.exports = change(module.exports)
  }
  try {
    load()
  } finally {
    extensions['.js'] = run
  }
}

function leadingTo(redirect: SqliteRedirect, Database: Any, refused: (error: RaceCloneError) => void): Any {
  const copy = (path: unknown): unknown => {
    const led = copyOf(path, redirect)
    if (led instanceof RaceCloneError) {
      refused(led)
      throw led
    }
    return led
  }
  const proxy: Any = new Proxy(Database, {
    construct: (target, [path, ...rest], self) => Reflect.construct(target, [copy(path), ...rest], self),
    // better-sqlite3 may be called without `new`.
    apply: (target, self, [path, ...rest]) => Reflect.apply(target, self, [copy(path), ...rest]),
    get: (target, name) => {
      const value = Reflect.get(target, name)
      return value === target ? proxy : value
    },
  })
  return proxy
}

function copyOf(given: unknown, { from, to }: SqliteRedirect): unknown {
  const text = given instanceof URL ? given.href : String(given ?? '')
  if (text === '' || text === ':memory:') return given
  const [, scheme = '', path = '', query = ''] = /^(file:(?:\/\/)?)?([^?]*)(.*)$/s.exec(text) ?? []
  if (samePath(path, from)) return `${scheme}${to}${query}`
  if (samePath(path, to)) return given
  return new RaceCloneError(
    `${text} was not opened: with workers every file has to be the race's own (${from}), of which each has a copy`,
  )
}

function samePath(one: string, other: string): boolean {
  const real = (path: string): string => {
    try {
      return realpathSync(path)
    } catch {
      return resolve(path)
    }
  }
  return real(one) === real(other)
}

/** @throws RaceCloneError where a handle is on another file: its driver was not led. One in memory is nobody else's. */
export function checkLed(handle: SqliteDatabaseLike, { from, to }: SqliteRedirect): void {
  const file = fileOf(handle)
  if (file === undefined || samePath(file, to)) return
  throw new RaceCloneError(
    `a worker has ${file} open, and not its own copy of ${from}: the driver of that handle cannot be led there`,
  )
}
