import { fileURLToPath } from 'node:url'
import { registerTsx } from '../core/register-tsx.ts'
import { messageOf, tame } from '../core/thrown.ts'
import { RaceModuleError } from './errors.ts'
import type { Race } from './race.ts'
import { racesOf } from './races-of.ts'

/**
 * Loads a race from the file that exports it, in a thread or a process of its own.
 *
 * @throws RaceModuleError where the file cannot be loaded there, or exports no race of this name
 */
export async function loadRace(module: string, name: string): Promise<Race> {
  const path = fileURLToPath(module)
  if (/\.[cm]?ts$/.test(path)) await registerTsx(path)
  let races: readonly Race[]
  try {
    races = racesOf(await import(module))
  } catch (cause) {
    throw new RaceModuleError(
      `${path} cannot be loaded by a thread or process of the search (${messageOf(cause)}): export the race as default from a file that needs no test runner, and import it in the test`,
      { cause: tame(cause) },
    )
  }
  const race = races.find((one) => one.name === name)
  if (race !== undefined) return race
  throw new RaceModuleError(
    `${path} does not export the race "${name}" as default or in an array, which a thread or process of the search needs`,
  )
}
