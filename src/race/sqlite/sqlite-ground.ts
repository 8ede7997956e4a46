import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError } from '../../core/index.ts'
import type { Ground } from '../ground.ts'
import type { Race, RaceDatabase } from '../race.ts'
import type { SqliteDriver } from './driver.ts'
import type { SqliteHandle } from './handle.ts'
import { findSqliteTables, readSqliteRows } from './rows.ts'
import { SqliteWaits } from './sqlite-waits.ts'
import { TaskWorker } from './task-worker.ts'

/**
 * SQLite: a call of its drivers is synchronous and cannot be suspended, so each task runs in a thread of its own, which loads
 * the file that exports the race.
 *
 * @throws ConfigError where that file is not known, or the database is not one that threads can share
 */
export async function openSqliteGround(
  race: Race,
  { handle, close }: SqliteHandle,
  { seed, stallMs }: { readonly seed: number; readonly stallMs: number },
): Promise<Ground> {
  const module = moduleOf(race)
  checkFile(race, handle)
  const names = Object.keys(race.definition.tasks)
  const workers = names.map(
    (task, index) => new TaskWorker({ module, race: race.name, task, index }, execArgv(module)),
  )
  const end = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.end()))
    close()
  }
  try {
    await Promise.all(workers.map((worker) => worker.ready()))
  } catch (error) {
    await end()
    throw error
  }
  return {
    db: database(handle),
    remedy:
      'BEGIN IMMEDIATE before the first read, so that writers take turns (SQLite has no row locks), or one statement that reads and writes',
    findTables: async () => findSqliteTables(handle),
    readRows: async (tables) => readSqliteRows(handle, tables),
    waits: (blockedAfterMs) => new SqliteWaits({ names, workers, stallMs, blockedAfterMs }),
    body: (index) => () => (workers[index] as TaskWorker).run(seed),
    settle: async () => void (await Promise.all(workers.map((worker) => worker.reset()))),
    end,
  }
}

function moduleOf({ name, definition: { module } }: Race): string {
  if (module === undefined) {
    throw new ConfigError(`race "${name}"`, [
      'module must be import.meta.url of the file that exports the race: on SQLite each task runs in a thread that loads it',
    ])
  }
  const text = String(module)
  return text.startsWith('file:') ? text : pathToFileURL(text).href
}

function checkFile({ name }: Race, handle: SqliteDriver): void {
  const [main] = handle.prepare('pragma database_list').all() as { file?: string }[]
  if (!main?.file) {
    throw new ConfigError(`race "${name}"`, [
      'store must be a SQLite database in a file: each thread opens it for itself',
    ])
  }
}

/** A thread knows the loaders that the command line names, and none that was registered since. */
function execArgv(module: string): readonly string[] {
  if (!/\.[cm]?ts$/.test(module)) return process.execArgv
  try {
    const tsx = createRequire(fileURLToPath(module)).resolve('tsx')
    return [...process.execArgv, '--import', pathToFileURL(tsx).href]
  } catch {
    return process.execArgv
  }
}

/** The handle as `setup` and `invariant` see it. Text of several statements, or one that gives no rows, is executed whole. */
function database(handle: SqliteDriver): RaceDatabase {
  return {
    async query(text, values = []) {
      const reads = /^\s*(select|with|values|pragma|explain)\b/i.test(text) || /\breturning\b/i.test(text)
      if (reads) {
        const rows = handle.prepare(text).all(...values)
        return { rows, rowCount: rows.length }
      }
      if (values.length > 0)
        return { rows: [], rowCount: Number(handle.prepare(text).run(...values).changes) }
      handle.exec(text)
      return { rows: [], rowCount: null }
    },
  }
}
