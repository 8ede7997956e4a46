import { systemClock } from '../../core/clock.ts'
import { checkOptions, isCount, isDuration, isOneOf, optionsOf, show } from '../../core/options.ts'
import { createStore, type StoreOptions, storeChecks } from '../create-store.ts'
import { poolOfStore } from '../pool-of.ts'
import type { Store } from '../store.ts'
import type { SqliteDatabaseLike } from './sqlite-client.ts'
import { SqliteEngine } from './sqlite-engine.ts'

export interface SqliteOptions extends Omit<StoreOptions, 'schema'> {
  /** Opens one more connection to the file, of `node:sqlite`, `libsql` or `better-sqlite3`. Called again after a failure. */
  readonly open: () => SqliteDatabaseLike
  /**
   * How long a writer waits for a writer of another process before StoreBusyError. Default 5 000. Waiting never blocks
   * the event loop.
   */
  readonly busyWaitMs?: number
  /** Connections for read-only transactions, and so the number of those at one time. Default 4. */
  readonly readersMax?: number
  /**
   * `full` (the default) makes each commit survive a power loss. With `normal`, power loss may undo the last commits,
   * whose messages may already be out; a killed process loses nothing either way.
   */
  readonly synchronous?: 'full' | 'normal'
}

/**
 * A store on one SQLite file, safe across processes. Writers of this process queue in memory in order of arrival.
 * @throws ConfigError for unknown options
 */
export function sqlite(given: SqliteOptions): Store {
  const options = optionsOf('sqlite', given ?? {}) // who writes JavaScript may forget them
  const { open, busyWaitMs = 5_000, readersMax = 4, synchronous = 'full', prefix, clock } = options
  checkOptions(
    'sqlite',
    options,
    ['prefix', 'clock', 'witnessWindowMs', 'open', 'busyWaitMs', 'readersMax', 'synchronous'],
    [
      typeof open === 'function' || `open must be a function that opens a connection, got ${show(open)}`,
      ...storeChecks(options),
      isDuration('busyWaitMs', busyWaitMs),
      isCount('readersMax', readersMax, 1, 64),
      isOneOf('synchronous', synchronous, ['full', 'normal']),
    ],
  )
  const engine = new SqliteEngine({
    open,
    busyWaitMs,
    readersMax,
    synchronous,
    prefix: prefix ?? 'holdfast_',
    clock: clock ?? systemClock,
  })
  const store = createStore(engine, options)
  poolOfStore.set(store, { open })
  return store
}
