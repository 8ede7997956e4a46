import { readInFlight, type SagasInFlight } from '../../saga/in-flight.ts'
import type { Store } from '../../store/index.ts'
import { printAge } from '../age.ts'
import { type Finding, ok, warning } from './finding.ts'

/** Undefined when the store has no tables of sagas. */
export async function readSagaFacts(store: Store): Promise<SagasInFlight | undefined> {
  try {
    return await readInFlight(store)
  } catch (error) {
    if ((error as { code?: string }).code === 'SCHEMA_REVISION') return undefined
    throw error
  }
}

/** Pure. */
export function judgeSagas(facts: SagasInFlight | undefined): Finding[] {
  if (facts === undefined) return []
  const { inFlight, stuck, unheld, overdue, stuckSagas } = facts
  const findings: Finding[] = []
  const [first] = stuckSagas
  if (first !== undefined) {
    findings.push(
      warning(
        'sagas-stuck',
        `${stuck} ${stuck === 1 ? 'saga is' : 'sagas are'} stuck, the oldest is ${printAge(first.ageMs)} old: "${first.id}", ${first.reason ?? 'no reason is recorded'}`,
        'see "holdfast sagas list --state stuck"; once mended, "holdfast sagas retry", or skip-step or force-undo',
      ),
    )
  }
  if (unheld > 0) {
    findings.push(
      warning(
        'sagas-unheld',
        `sagas in partitions whose lease has ended or was never taken: ${unheld} of ${inFlight} in flight`,
        'they wait until a runner of their group runs: start one, or see why it cannot take its leases',
      ),
    )
  }
  if (overdue > 0) {
    findings.push(
      warning(
        'sagas-overdue',
        `sagas that are due for more than a minute, and that the runner of their partition does not take up: ${overdue}`,
        'it does not know a saga of their name, or has no room: see "holdfast sagas show ID"',
      ),
    )
  }
  return findings.length > 0
    ? findings
    : [ok('sagas', `sagas in flight: ${inFlight}; none is stuck or left alone`)]
}
