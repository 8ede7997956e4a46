import { HoldfastError } from '../core/index.ts'
import { explore } from './explore.ts'
import type { Race, RaceOptions } from './race.ts'
import { renderReport } from './render.ts'
import type { RaceReport } from './report.ts'

/** An interleaving ended as no serial order does. The message is the report, with the schedule that replays it. */
export class RaceFoundError extends HoldfastError {
  static {
    this.prototype.name = 'RaceFoundError'
  }
  readonly code = 'RACE_FOUND'
  readonly outcome = 'unknown'
  readonly report: RaceReport

  constructor(report: RaceReport) {
    super(renderReport(report))
    this.report = report
  }
}

/**
 * Explores the race and rejects when one was found: for a test of any runner. Gives the report, whose `coverage` says how
 * far "none found" goes.
 * @throws RaceFoundError; what `explore` throws
 */
export async function assertSerializable(race: Race, options: RaceOptions = {}): Promise<RaceReport> {
  const report = await explore(race, options)
  if (!report.ok) throw new RaceFoundError(report)
  return report
}

/**
 * For `expect.extend` of Vitest and Jest: `await expect(race(…)).toBeSerializable({ seed })`, and with `.not` that a race is
 * still found, which keeps a broken example broken.
 */
export const raceMatchers = {
  async toBeSerializable(received: unknown, options?: RaceOptions) {
    const report = await explore(received as Race, options)
    return { pass: report.ok, message: () => renderReport(report) }
  },
}
