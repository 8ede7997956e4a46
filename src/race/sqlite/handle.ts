import { pathToFileURL } from 'node:url'
import { ConfigError } from '../../core/index.ts'
import { poolOfStore } from '../../store/pool-of.ts'
import type { SqliteDatabaseLike } from '../../store/sqlite/sqlite-client.ts'
import type { Store } from '../../store/store.ts'
import type { Race } from '../race.ts'
import { driverOf, loadDriver } from './driver-of.ts'

export interface SqliteHandle {
  readonly handle: SqliteDatabaseLike
  /** Closes it where it was opened here; what the race names stays open. */
  close(): void
}

/** Undefined where the race is on another kind of store. Opens nothing until `open` is called. */
export function sqliteOf(race: Race): { open(): SqliteHandle } | undefined {
  const { store } = race.definition
  if (typeof store === 'string') {
    const path = store.replace(/^sqlite:/, '')
    return opening(() => {
      const module = moduleOf(race)
      return new (loadDriver(driverOf(race.name, module), module))(path)
    })
  }
  const given = (poolOfStore.get(store as Store) ?? store) as
    | (Partial<SqliteDatabaseLike> & { open?: unknown })
    | undefined
  if (typeof given?.prepare === 'function' && typeof given.exec === 'function') {
    return { open: () => ({ handle: given as SqliteDatabaseLike, close: () => {} }) }
  }
  const open = given?.open
  return typeof open === 'function' ? opening(() => open() as SqliteDatabaseLike) : undefined
}

function opening(open: () => SqliteDatabaseLike): { open(): SqliteHandle } {
  return {
    open() {
      const handle = open()
      return { handle, close: () => void handle.close() }
    },
  }
}

/** The path of the database; undefined where it is in memory, or elsewhere. */
export function fileOf(handle: SqliteDatabaseLike): string | undefined {
  const [main] = handle.prepare('pragma database_list').all() as { file?: string | null }[]
  return main?.file || undefined
}

/** The address of the file that exports the race. @throws ConfigError where it is not known */
export function moduleOf({ name, definition: { module } }: Race, why = EACH_TASK): string {
  if (module === undefined) {
    throw new ConfigError(`race "${name}"`, [
      `module must be import.meta.url of the file that exports the race: ${why}`,
    ])
  }
  const text = String(module)
  return text.startsWith('file:') ? text : pathToFileURL(text).href
}

const EACH_TASK = 'on SQLite each task runs in a thread that loads it'
