import { pruneEffects } from '../effects/index.ts'
import type { Store } from '../store/index.ts'
import { pruneAttempts } from './attempts.ts'
import type { ResolvedConsumer } from './consumer-options.ts'

/** Rows deleted by one statement. */
const LIMIT = 1_000
/** Statements in one round, so that a round after a long pause does not hold the store for long. */
const STATEMENTS_MAX = 50
const EVERY_MIN_MS = 1_000
const EVERY_MAX_MS = 600_000

/** Forgets, now and then and a little at a time, what was handled longer ago than the window. */
export class Pruner {
  readonly #store: Store
  readonly #options: ResolvedConsumer
  readonly #windowMs: number
  readonly #isWanted: () => boolean

  constructor(store: Store, options: ResolvedConsumer, windowMs: number, isWanted: () => boolean) {
    this.#store = store
    this.#options = options
    this.#windowMs = windowMs
    this.#isWanted = isWanted
  }

  start(signal: AbortSignal): void {
    void this.#run(signal).catch(() => {})
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#store
    const everyMs = Math.min(EVERY_MAX_MS, Math.max(EVERY_MIN_MS, this.#windowMs / 20))
    while (!signal.aborted) {
      // Random, so that the processes of a group take turns.
      await clock.sleep(everyMs * (0.5 + clock.random()), signal)
      if (!this.#isWanted()) continue
      await this.#prune(signal).catch((error: unknown) => {
        if (!signal.aborted)
          this.#options.log.warn('old effects could not be removed; tried again later', { error })
      })
    }
  }

  async #prune(signal: AbortSignal): Promise<void> {
    const scope = `inbox/${this.#options.group}`
    const bounds = { scope, olderThanMs: this.#windowMs, limit: LIMIT }
    await pruneEffects(this.#store, { ...bounds, batchesMax: STATEMENTS_MAX, signal })
    await this.#store.transaction((tx) => pruneAttempts(tx, bounds), { signal })
  }
}
