import { type Store, sql } from '../../store/index.ts'
import { printAge } from '../age.ts'
import { type Finding, ok, warning } from './finding.ts'

export interface TwoPhaseFacts {
  readonly open: number
  readonly oldestAgeMs: number
}

const OLD_MS = 60_000

/** The decisions of the logs in this store; undefined when it has no such tables. */
export async function readTwoPhaseFacts(store: Store): Promise<TwoPhaseFacts | undefined> {
  try {
    const [row] = await store.transaction(
      (tx) =>
        tx.query<{ open: unknown; oldest: unknown }>(
          sql`select count(*) as open, max(${store.dialect.nowMs} - decided_at_ms) as oldest from ${store.table('two_phase')} where finished_at_ms is null`,
        ),
      { readOnly: true },
    )
    return { open: Number(row?.open), oldestAgeMs: Math.max(0, Number(row?.oldest ?? 0)) }
  } catch (error) {
    if ((error as { code?: string }).code === 'SCHEMA_REVISION') return undefined
    throw error
  }
}

/** Pure. */
export function judgeTwoPhase(facts: TwoPhaseFacts | undefined): Finding[] {
  if (facts === undefined) return []
  const { open, oldestAgeMs } = facts
  if (open === 0 || oldestAgeMs < OLD_MS) return [ok('two-phase', 'no decision of a two-phase commit waits')]
  return [
    warning(
      'two-phase',
      `${open} decisions of two-phase commits are not carried out, the oldest for ${printAge(oldestAgeMs)}`,
      'a participant is down, or no recovery runs: see "holdfast two-phase list", and run "holdfast two-phase recover"',
    ),
  ]
}
