/** Which SQLite driver a race file uses: by it alone may this process open the file. */
import { createRequire, isBuiltin } from 'node:module'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../../core/index.ts'
import type { SqliteDatabaseLike } from '../../store/sqlite/sqlite-client.ts'

/** The drivers that are intercepted. */
export const DRIVERS = ['better-sqlite3', 'libsql', 'node:sqlite'] as const
export type DriverName = (typeof DRIVERS)[number]
export type DatabaseClass = (new (path: string) => SqliteDatabaseLike) & { readonly prototype: object }

/** The class whose instances are handles, as the file of a race would load it. */
export function loadDriver(name: DriverName, module: string): DatabaseClass {
  const loaded = createRequire(fileURLToPath(module))(name)
  return loaded.DatabaseSync ?? loaded
}

/**
 * The driver that the file of a race has loaded, else the only one that it finds. A second library would not do: the
 * file locks of a process belong to all of its handles, so two libraries in one process do not see each other's.
 *
 * @throws ConfigError where none is found, or more than one
 */
export function driverOf(race: string, module: string): DriverName {
  const found = DRIVERS.filter((name) => isInstalled(name, module))
  const used = found.filter((name) => isLoaded(name, module))
  const [driver, ...others] = used.length > 0 ? used : found
  if (driver === undefined) {
    throw new ConfigError(`race "${race}"`, [
      'no SQLite driver is found: install better-sqlite3 or libsql, or use Node 22.13 or later, which has its own',
    ])
  }
  if (others.length > 0) {
    throw new ConfigError(`race "${race}"`, [
      `store names a file, which ${[driver, ...others].join(' and ')} can open: give a handle of the one that the tasks use, such as new Database(path)`,
    ])
  }
  return driver
}

/** The drivers that this process has loaded, as that file sees them. */
export function loadedDrivers(module: string): DriverName[] {
  return DRIVERS.filter((name) => isInstalled(name, module) && isLoaded(name, module))
}

function isInstalled(name: DriverName, module: string): boolean {
  if (name.startsWith('node:')) return isBuiltin(name)
  try {
    createRequire(fileURLToPath(module)).resolve(name)
    return true
  } catch {
    return false
  }
}

/** Node's list of what it has loaded of its own: there is no other way to ask. */
const { moduleLoadList } = process as NodeJS.Process & { readonly moduleLoadList: readonly string[] }

function isLoaded(name: DriverName, module: string): boolean {
  if (name.startsWith('node:')) return moduleLoadList.includes(`NativeModule ${name.slice('node:'.length)}`)
  const require = createRequire(fileURLToPath(module))
  return require.cache[require.resolve(name)] !== undefined
}
