import { openControl, poolOf, type Race, type RaceDatabase } from '../race.ts'
import { hasSqlState } from '../refusal.ts'
import { inOneTransaction, runAgain } from './one-transaction.ts'
import type { Trial } from './propose.ts'
import { createIndex, dropIndex } from './unique-index.ts'

/** On PostgreSQL the tasks are wrapped where they are called. */
export function treatPg(race: Race, trial: Trial): Race {
  const { wrapped, begin, again, againOn } = trial
  const pool = poolOf(race)
  const tasks = Object.entries(race.definition.tasks).map(([name, body]) => {
    const whole = wrapped.includes(name) ? inOneTransaction(body, pool, begin) : body
    return [name, again.includes(name) ? runAgain(whole, (error) => hasSqlState(error, againOn)) : whole]
  })
  return withIndex({ ...race, definition: { ...race.definition, tasks: Object.fromEntries(tasks) } }, trial)
}

/** The race with a unique index, where that is the remedy. */
export function withIndex(race: Race, { index }: Trial): Race {
  if (index === undefined) return race
  const { definition } = race
  const setup = async (db: RaceDatabase): Promise<void> => {
    await definition.setup?.(db)
    await createIndex(db, index)
  }
  return { ...race, definition: { ...definition, setup } }
}

export async function dropPgIndex(race: Race): Promise<void> {
  const control = await openControl(poolOf(race))
  await dropIndex(control)
  await control.end()
}
