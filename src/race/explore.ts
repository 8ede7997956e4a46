import { Explorer } from './explorer.ts'
import { openGround } from './open-ground.ts'
import { checkRace, type Race, type RaceOptions, type ResolvedOptions, resolveOptions } from './race.ts'
import { propose, type Trial } from './remedy/propose.ts'
import type { RemedyResult } from './remedy/remedy.ts'
import { dropPgIndex, treatPg, withIndex } from './remedy/treat.ts'
import { type Exploration, tryRemedies } from './remedy/try-remedies.ts'
import { type RaceReport, wantsRemedies, withRemedies } from './report.ts'
import { ScheduleRunner } from './schedule-runner.ts'
import { sqliteOf } from './sqlite/handle.ts'
import { proposeSqlite } from './sqlite/propose-sqlite.ts'
import { exploreSpread } from './workers/explore-spread.ts'

/**
 * Explores one race. Stops at the first finding, and tries its remedies. Without `workers` it runs alone in its process:
 * globals and the driver are patched meanwhile.
 */
export async function explore(race: Race, overrides: RaceOptions = {}): Promise<RaceReport> {
  checkRace('explore', race, overrides)
  const options = resolveOptions({ ...race.definition.options, ...overrides })
  if (options.workers !== undefined) return exploreSpread(race, options, options.workers)
  const { report } = await exploreOnce(race, options)
  if (!wantsRemedies(report, options)) return report
  return withRemedies(report, await remediesOf(race, report, options))
}

/** What comes of remedies for a finding, in this process. */
export async function remediesOf(
  race: Race,
  report: RaceReport,
  options: ResolvedOptions,
): Promise<RemedyResult[]> {
  return sqliteOf(race) === undefined
    ? tryRemedies({ race, propose, treat: treatPg, clean: dropPgIndex }, report, options, exploreOnce)
    : tryRemedies({ race, propose: proposeSqlite, treat: withIndex }, report, options, exploreOnce)
}

async function exploreOnce(race: Race, given: RaceOptions, trial?: Trial): Promise<Exploration> {
  const options = resolveOptions(given)
  const ground = await openGround(race, options, trial)
  try {
    const runner = await ScheduleRunner.open(race, options, ground)
    return await new Explorer(race.name, Object.keys(race.definition.tasks), options, runner).run()
  } finally {
    await ground.end()
  }
}
