import type { Clock } from '../../core/clock.ts'
import { acquireLease, type Lease } from '../../lease/index.ts'
import { type Store, sql } from '../../store/index.ts'

export interface BaseUnderTest {
  readonly store: Store
  /** A second store on the same database, with connections of its own. */
  readonly other: Store
  /** One more, whose process has this clock. */
  withClock(clock: Clock): Store
  close(): Promise<void>
}

export function acquire(at: Store, owner: string, name = 'n', ttlMs = 60_000): Promise<Lease | undefined> {
  return acquireLease(at, { scope: 's', name, owner, ttlMs })
}

/** Sets the end of every lease as if `ms` had passed on the store's clock. */
export function pass(store: Store, ms: number): Promise<number> {
  return store.execute(sql`update ${store.table('lease')} set until_ms = until_ms - ${ms}`)
}
