import type { Store } from './store.ts'
import { pruneWitnesses } from './witness.ts'

const EVERY_MIN_MS = 1_000
const EVERY_MAX_MS = 600_000

/**
 * Removes old witnesses now and then. A store has no part that runs in the background, so this is done beside the
 * commits that write witnesses: the caller does not wait for it, and what fails is tried again next time.
 */
export function witnessPruner(store: Store, windowMs: number): () => void {
  const everyMs = Math.min(EVERY_MAX_MS, Math.max(EVERY_MIN_MS, windowMs / 20))
  let dueMs: number | undefined
  return () => {
    const { clock } = store
    const nowMs = clock.monotonic()
    const due = dueMs !== undefined && nowMs >= dueMs
    if (dueMs !== undefined && !due) return
    // Random, so that the processes of a service take turns.
    dueMs = nowMs + everyMs * (0.5 + clock.random())
    if (due) pruneWitnesses(store, { olderThanMs: windowMs }).catch(() => {})
  }
}
