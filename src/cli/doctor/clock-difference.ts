import { type Store, sql } from '../../store/index.ts'
import { printAge } from '../age.ts'
import { type Finding, ok, warning } from './finding.ts'

export interface ClockDifference {
  /** The store's clock minus this machine's. */
  readonly differenceMs: number
  /** The difference is known to within this much: half of the fastest round trip. */
  readonly errorMs: number
}

const SAMPLES = 5
const TOLERATED_MS = 1_000

/** Asks the store for its time a few times and keeps the fastest answer, which is the most exact. */
export async function measureClock(store: Store): Promise<ClockDifference> {
  let best: ClockDifference | undefined
  for (let i = 0; i < SAMPLES; i++) {
    const sample = await store.transaction(
      async (tx) => {
        await tx.query('select 1') // so that connecting and BEGIN are not part of what is measured
        const startMs = store.clock.now()
        const startedAt = store.clock.monotonic()
        const [row] = await tx.query<{ now_ms: number | string }>(
          sql`select ${store.dialect.nowMs} as now_ms`,
        )
        const errorMs = (store.clock.monotonic() - startedAt) / 2
        return { differenceMs: Number(row?.now_ms) - (startMs + errorMs), errorMs }
      },
      { readOnly: true },
    )
    if (best === undefined || sample.errorMs < best.errorMs) best = sample
  }
  return best as ClockDifference
}

/** Pure. */
export function judgeClock({ differenceMs, errorMs }: ClockDifference): Finding {
  const size = Math.abs(differenceMs)
  const found = `the store's clock is ${printAge(size)} ${differenceMs < 0 ? 'behind' : 'ahead of'} this machine's (±${printAge(errorMs)})`
  if (size - errorMs <= TOLERATED_MS) return ok('clock', found)
  return warning(
    'clock',
    found,
    'leases are judged by the store alone and stay correct, but ages and delays will look wrong: synchronize both clocks (NTP)',
  )
}
