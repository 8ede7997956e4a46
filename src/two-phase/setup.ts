import { isHoldfastError } from '../core/errors.ts'
import type { Store } from '../store/index.ts'
import { TwoPhaseSetupError } from './errors.ts'
import { readLogId } from './log.ts'

/** Looking costs a participant that does not answer no longer than this. */
const LOOK_MS = 5_000

/** What the coordinator knows of its log. */
export interface LogIdentity {
  readonly id: string
  /** The log's clock minus this process's, when it was looked at. */
  readonly clockDifferenceMs: number
}

/** @throws TwoPhaseSetupError for an SQLite log that may forget a commit; SchemaRevisionError when the tables are missing */
export async function openLog(store: Store, name: string): Promise<LogIdentity> {
  const { isForgetful } = store.dialect
  // In a transaction that may write, since that is the connection which counts.
  if (isForgetful && (await store.transaction((tx) => tx.query(isForgetful))).length > 0) {
    throw new TwoPhaseSetupError([
      "the log would forget decisions after a power failure: open its SQLite store with synchronous: 'full'",
    ])
  }
  const { id, nowMs } = await readLogId(store, name)
  return { id, clockDifferenceMs: nowMs - store.clock.now() }
}

/**
 * Looks for what keeps a participant from preparing. One that cannot be reached is not judged: false, and it is looked at
 * again before it is first used.
 * @throws TwoPhaseSetupError with the remedies
 */
export async function checkParticipant(name: string, store: Store): Promise<boolean> {
  if (store.prepared === undefined) return true
  let obstacles: string[]
  try {
    obstacles = await store.prepared.obstacles({ timeoutMs: LOOK_MS })
  } catch (error) {
    if (isHoldfastError(error) && ['STORE_UNAVAILABLE', 'TRANSACTION_TIMEOUT'].includes(error.code))
      return false
    throw error
  }
  if (obstacles.length > 0) throw new TwoPhaseSetupError(obstacles.map((o) => `participant "${name}": ${o}`))
  return true
}
