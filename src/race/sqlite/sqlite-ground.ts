import { ConfigError } from '../../core/index.ts'
import type { SqliteDatabaseLike } from '../../store/sqlite/sqlite-client.ts'
import type { Ground } from '../ground.ts'
import type { Race, RaceDatabase } from '../race.ts'
import type { Trial } from '../remedy/propose.ts'
import { INDEX } from '../remedy/unique-index.ts'
import { ledTo } from '../workers/redirect-sqlite.ts'
import { fileOf, moduleOf, type SqliteHandle } from './handle.ts'
import type { TaskTreatment } from './protocol.ts'
import { findSqliteTables, readSqliteRows } from './rows.ts'
import { sqliteRemedy } from './sqlite-remedy.ts'
import { SqliteWaits } from './sqlite-waits.ts'
import { TaskWorker } from './task-worker.ts'

export interface SqliteGroundOptions {
  readonly seed: number
  readonly stallMs: number
  /** A remedy that is tried. */
  readonly trial: Trial | undefined
}

/**
 * SQLite: a call of its drivers is synchronous and cannot be suspended, so each task runs in a thread of its own, which loads
 * the file that exports the race.
 *
 * @throws ConfigError where that file is not known, or the database is not one that threads can share
 */
export async function openSqliteGround(
  race: Race,
  { handle, close }: SqliteHandle,
  { seed, stallMs, trial }: SqliteGroundOptions,
): Promise<Ground> {
  const module = moduleOf(race)
  const names = Object.keys(race.definition.tasks)
  const workers: TaskWorker[] = []
  const dropIndex = (): unknown => handle.exec(`drop index if exists ${INDEX}`)
  const end = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.end()))
    try {
      dropIndex()
    } finally {
      close()
    }
  }
  try {
    checkFile(race, handle)
    dropIndex() // of a process that was killed
    for (const [index, task] of names.entries()) {
      const treatment = treatmentOf(task, trial)
      const worker = new TaskWorker({ module, race: race.name, task, index, treatment, redirect: ledTo() })
      workers.push(worker)
      // One after another, since what the file does when it is loaded may write.
      await worker.ready()
    }
  } catch (error) {
    await end()
    throw error
  }
  return {
    db: database(handle),
    remedyFor: sqliteRemedy,
    findTables: async () => findSqliteTables(handle),
    readRows: async (tables) => readSqliteRows(handle, tables),
    waits: (blockedAfterMs) => new SqliteWaits({ names, workers, stallMs, blockedAfterMs }),
    body: (index) => () => (workers[index] as TaskWorker).run(seed),
    settle: async () => void (await Promise.all(workers.map((worker) => worker.reset()))),
    end,
  }
}

function treatmentOf(task: string, trial: Trial | undefined): TaskTreatment {
  return {
    ...(trial?.wrapped.includes(task) && { whole: trial.begin }),
    immediate: trial?.begin === 'begin immediate',
    again: trial?.again.includes(task) === true,
  }
}

function checkFile({ name }: Race, handle: SqliteDatabaseLike): void {
  if (fileOf(handle) === undefined) {
    throw new ConfigError(`race "${name}"`, [
      'store must be a SQLite database in a file: each thread opens it for itself',
    ])
  }
}

/** The handle as `setup` and `invariant` see it. Text of several statements, or one that gives no rows, is executed whole. */
function database(handle: SqliteDatabaseLike): RaceDatabase {
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
