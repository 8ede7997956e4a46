import { setTimeout as sleep } from 'node:timers/promises'
import { isHoldfastError, migrate, type Store, type TableSet } from 'holdfast'

const TRIES = 20
const RETRY_MS = 50

/**
 * Makes the tables at the start of a service. The connection may be cut here as anywhere else; what `migrate` finds done
 * it leaves alone, so an unknown COMMIT is answered by asking for the same again.
 */
export async function prepareTables(store: Store, sets: readonly TableSet[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await migrate(store, sets)
      return
    } catch (error) {
      const lost = isHoldfastError(error) && LOST.has(error.code)
      if (!lost || tries === TRIES) throw error
      await sleep(RETRY_MS)
    }
  }
}

const LOST: ReadonlySet<string> = new Set(['COMMIT_UNKNOWN', 'STORE_UNAVAILABLE'])
