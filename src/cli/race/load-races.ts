import { pathToFileURL } from 'node:url'
import type { Race } from '../../race/index.ts'
import { racesOf } from '../../race/races-of.ts'
import { watchLoading } from '../../race/spin-watch.ts'
import { standIn } from '../../race/virtual.ts'
import { usageError } from '../cli-error.ts'
import { importModule } from '../import-module.ts'

/** @throws CliError for a file that cannot be imported, or exports no race */
export async function loadRaces(path: string, spinMs?: number): Promise<Race[]> {
  // What the file takes of timers, clock and chance when it is loaded is governed as well. The process ends with the command.
  standIn()
  const races = racesOf(await watchLoading(path, () => importModule(path), spinMs))
  if (races.length === 0) {
    throw usageError(`${path} must export default race(…) of holdfast/race, or an array of them`)
  }
  return races.map((race) => ({
    ...race,
    definition: { module: pathToFileURL(path), ...race.definition },
  }))
}
