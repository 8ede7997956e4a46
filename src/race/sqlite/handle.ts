import { poolOfStore } from '../../store/pool-of.ts'
import type { Store } from '../../store/store.ts'
import type { Race } from '../race.ts'
import type { SqliteDriver } from './driver.ts'

export interface SqliteHandle {
  readonly handle: SqliteDriver
  /** Closes it where it was opened here; what the race names stays open. */
  close(): void
}

/** Undefined where the race is on another kind of store. Opens nothing until `open` is called. */
export function sqliteOf({ definition: { store } }: Race): { open(): SqliteHandle } | undefined {
  const given = (poolOfStore.get(store as Store) ?? store) as Partial<SqliteDriver> & { open?: unknown }
  if (typeof given.prepare === 'function' && typeof given.exec === 'function') {
    return { open: () => ({ handle: given as SqliteDriver, close: () => {} }) }
  }
  const { open } = given
  if (typeof open !== 'function') return undefined
  return {
    open() {
      const handle = open() as SqliteDriver
      return { handle, close: () => void handle.close() }
    },
  }
}
