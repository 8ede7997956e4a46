import type { Ground } from './ground.ts'
import { interceptHttp } from './intercept-http.ts'
import { interceptPg } from './intercept-pg.ts'
import { Pace } from './lock-watch.ts'
import { findTables, readRows } from './outcome.ts'
import { PgWaits } from './pg-waits.ts'
import { openControl, poolOf, type Race } from './race.ts'
import { readRelations } from './relations.ts'
import type { Treatment } from './remedy/treatment.ts'
import { dropIndex } from './remedy/unique-index.ts'
import { virtualise } from './virtual.ts'

/** PostgreSQL by `pg`: the tasks run here, and wait for each other where the server says so. */
export async function openPgGround(race: Race, stallMs: number, treatment?: Treatment): Promise<Ground> {
  const pool = poolOf(race)
  const control = await openControl(pool, { stallMs })
  const tasks = Object.keys(race.definition.tasks).length
  const undo = [interceptPg(pool, tasks, treatment), interceptHttp(), virtualise()]
  const pace = new Pace()
  let waits: PgWaits | undefined
  const end = async (): Promise<void> => {
    for (const step of undo) await step()
    await control.end()
  }
  try {
    await dropIndex(control)
  } catch (error) {
    await end()
    throw error
  }
  return {
    db: control,
    findTables: () => findTables(control),
    readRelations: () => readRelations(control),
    readRows: (tables) => readRows(control, tables),
    waits(blockedAfterMs) {
      waits = new PgWaits({ control, stallMs, blockedAfterMs, pace })
      return waits
    },
    body: (_, task) => task,
    settle: async () => waits?.rollBackLeft(),
    end,
  }
}
