import type { Ground } from './ground.ts'
import { openPgGround } from './pg-ground.ts'
import type { Race, ResolvedOptions } from './race.ts'
import type { Trial } from './remedy/propose.ts'
import { sqliteOf } from './sqlite/handle.ts'
import { openSqliteGround } from './sqlite/sqlite-ground.ts'

/** Where this race runs: its database, whose driver is intercepted until the ground ends. */
export async function openGround(race: Race, options: ResolvedOptions, trial?: Trial): Promise<Ground> {
  const sqlite = sqliteOf(race)
  return sqlite === undefined
    ? openPgGround(race, options.stallMs, trial?.treatment)
    : openSqliteGround(race, sqlite.open(), { ...options, trial })
}
