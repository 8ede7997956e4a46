import { pathToFileURL } from 'node:url'
import type { Race } from '../../race/index.ts'
import { racesOf } from '../../race/races-of.ts'
import { usageError } from '../cli-error.ts'
import { importModule } from '../import-module.ts'

/** @throws CliError for a file that cannot be imported, or exports no race */
export async function loadRaces(path: string): Promise<Race[]> {
  const races = racesOf(await importModule(path))
  if (races.length === 0) {
    throw usageError(`${path} must export default race(…) of holdfast/race, or an array of them`)
  }
  return races.map((race) => ({
    ...race,
    definition: { module: pathToFileURL(path), ...race.definition },
  }))
}
