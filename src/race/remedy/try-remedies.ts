import { messageOf } from '../../core/thrown.ts'
import { type Outcome, sameOutcome } from '../outcome.ts'
import type { Race, RaceOptions } from '../race.ts'
import type { RaceReport } from '../report.ts'
import type { Proposal, Trial } from './propose.ts'
import type { RemedyResult } from './remedy.ts'

/** One exploration without remedies: the report, and what the serial orders did. */
export interface Exploration {
  readonly report: RaceReport
  readonly serial: readonly { readonly order: readonly string[]; readonly outcome: Outcome }[]
}

export type ExploreOnce = (race: Race, options: RaceOptions, trial: Trial | undefined) => Promise<Exploration>

/** What a kind of database has to do with it. */
export interface Trials {
  readonly race: Race
  propose(finding: NonNullable<RaceReport['finding']>, tasks: readonly string[]): Proposal[]
  /** The race with the parts of a remedy that stand around its tasks. */
  treat(race: Race, trial: Trial): Race
  /** Takes back what a trial left in the database. */
  clean?(race: Race): Promise<void>
}

/** How many schedules one way to try a remedy is worth, where the budget has as many left. */
const SCHEDULES_MAX = 200

/**
 * Explores the tasks again with each remedy in turn, out of what the search has left of its schedules and seconds. A remedy
 * removes the race when no schedule shows one and the serial orders still do what they did: a remedy that makes the tasks
 * fail is none. The same seed and budget in schedules give the same answer.
 */
export async function tryRemedies(
  trials: Trials,
  found: RaceReport,
  options: Required<Pick<RaceOptions, 'schedules' | 'seconds'>> & RaceOptions,
  explore: ExploreOnce,
): Promise<RemedyResult[]> {
  const { finding, coverage, tasks } = found
  if (finding === undefined) return []
  let schedules = options.schedules - coverage.schedules
  let seconds = options.seconds - coverage.seconds
  const results: RemedyResult[] = []
  for (const proposal of trials.propose(finding, tasks)) {
    const { remedy } = proposal
    if ('reason' in proposal) {
      results.push({ remedy, result: 'not tried', reason: proposal.reason })
      continue
    }
    let result: RemedyResult | undefined
    for (const trial of proposal.trials) {
      if (schedules < 2 * finding.serial.length + 1 || seconds <= 0) break
      const bounds = { schedules: Math.min(schedules, SCHEDULES_MAX), seconds }
      const [tried, used] = await tryOne(trials, trial, { ...options, ...bounds }, finding.serial, explore)
      schedules -= used.schedules
      seconds -= used.seconds
      result = { remedy, ...tried } as RemedyResult
      if (tried.result === 'removes') break
    }
    results.push(result ?? { remedy, result: 'not tried', reason: 'the budget of the search is spent' })
  }
  return results
}

type Tried = {
  [K in RemedyResult['result']]: Omit<Extract<RemedyResult, { result: K }>, 'remedy'>
}[RemedyResult['result']]

async function tryOne(
  { race, treat, clean }: Trials,
  trial: Trial,
  options: RaceOptions,
  serial: Exploration['serial'],
  explore: ExploreOnce,
): Promise<[Tried, { schedules: number; seconds: number }]> {
  const { how, treatment } = trial
  try {
    const { report, serial: treated } = await explore(treat(race, trial), options, trial)
    const { schedules, seconds, exhaustive } = report.coverage
    const used = { schedules, seconds }
    const other = serial.find(({ order, outcome }) => {
      const now = treated.find((one) => one.order.join() === order.join())?.outcome
      return now === undefined || !sameOutcome(now, outcome)
    })
    if (treatment?.strayed === true)
      return [
        {
          result: 'not tried',
          reason: 'statements that go past the pool of `store` cannot be put into one transaction',
        },
        used,
      ]
    if (treatment !== undefined && treatment.changed === 0 && trial.wrapped.length === 0)
      return [{ result: 'not tried', reason: 'no statement of the tasks could be changed so' }, used]
    if (report.finding !== undefined) {
      const { anomaly, explanation } = report.finding
      return [{ result: 'does not remove', how, schedules, anomaly, explanation }, used]
    }
    if (other !== undefined) {
      const explanation = `${other.order.join(', then ')} ends otherwise with it`
      return [{ result: 'does not remove', how, schedules, anomaly: undefined, explanation }, used]
    }
    return [{ result: 'removes', how, schedules, exhaustive }, used]
  } catch (error) {
    const reason = `with ${how}: ${messageOf(error)}`
    return [
      { result: 'not tried', reason },
      { schedules: 0, seconds: 0 },
    ]
  } finally {
    if (trial.index !== undefined) await clean?.(race)
  }
}
